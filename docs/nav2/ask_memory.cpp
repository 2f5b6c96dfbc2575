// SPDX-License-Identifier: Apache-2.0
// A node of Nav2's behaviour trees that asks the memory through the action. See docs/clients.md.

#include <memory>
#include <string>
#include <vector>

#include "behaviortree_cpp/bt_factory.h"
#include "flash_vstream_ros/action/ask.hpp"
#include "nav2_behavior_tree/bt_action_node.hpp"

namespace flash_vstream_nav2
{

using Ask = flash_vstream_ros::action::Ask;

// SUCCESS: an answer and, where a choice is expected, its probability reaches the threshold. FAILURE: all else.
class AskMemory : public nav2_behavior_tree::BtActionNode<Ask>
{
public:
  using nav2_behavior_tree::BtActionNode<Ask>::BtActionNode;

  static BT::PortsList providedPorts()
  {
    return providedBasicPorts(
      {
        BT::InputPort<std::string>("question", "in plain language"),
        BT::InputPort<std::vector<std::string>>("choices", "the possible answers, separated by ;"),
        BT::InputPort<std::string>("expected", "", "the choice that is a success; empty: every answer is"),
        BT::InputPort<double>("threshold", 0.5, "probability that the expected choice needs"),
        BT::InputPort<std::string>("camera", "", "frame_id of the camera"),
        BT::InputPort<double>("answer_timeout", 30.0, "seconds"),
        BT::OutputPort<std::string>("answer", "the text"),
        BT::OutputPort<double>("probability", "of the expected choice"),
        BT::OutputPort<std::string>("message", "why there is no answer"),
      });
  }

  void on_tick() override
  {
    setOutput("answer", std::string());  // nothing of the question before
    setOutput("probability", 0.0);
    setOutput("message", std::string());
    double timeout = 0.0;
    getInput("question", goal_.question);
    getInput("choices", goal_.choices);
    getInput("camera", goal_.camera);
    getInput("answer_timeout", timeout);
    goal_.timeout.sec = static_cast<int32_t>(timeout);
    goal_.timeout.nanosec = static_cast<uint32_t>((timeout - goal_.timeout.sec) * 1e9);
  }

  BT::NodeStatus on_success() override
  {
    const auto & answer = result_.result->answer;
    setOutput("answer", answer.text);
    setOutput("message", std::string());
    std::string expected;
    double threshold = 0.5;
    getInput("expected", expected);
    getInput("threshold", threshold);
    if (expected.empty()) {
      return BT::NodeStatus::SUCCESS;
    }
    for (size_t i = 0; i < goal_.choices.size() && i < answer.choice_probabilities.size(); ++i) {
      if (goal_.choices[i] == expected) {
        const double probability = answer.choice_probabilities[i];
        setOutput("probability", probability);
        return probability >= threshold ? BT::NodeStatus::SUCCESS : BT::NodeStatus::FAILURE;
      }
    }
    setOutput("message", "expected: '" + expected + "' is none of the choices");
    return BT::NodeStatus::FAILURE;
  }

  // BUSY, MEMORY_EMPTY, TIMEOUT and the like end the goal as aborted; the answer says which.
  BT::NodeStatus on_aborted() override
  {
    setOutput("message", result_.result->answer.message);
    return BT::NodeStatus::FAILURE;
  }

  BT::NodeStatus on_cancelled() override
  {
    return BT::NodeStatus::FAILURE;
  }
};

}  // namespace flash_vstream_nav2

BT_REGISTER_NODES(factory)
{
  factory.registerBuilder<flash_vstream_nav2::AskMemory>(
    "AskMemory",
    [](const std::string & name, const BT::NodeConfiguration & config) {
      return std::make_unique<flash_vstream_nav2::AskMemory>(name, "/flash_vstream/ask", config);
    });
}
