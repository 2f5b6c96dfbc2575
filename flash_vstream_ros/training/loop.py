# SPDX-License-Identifier: Apache-2.0
"""The training loop. Devices, precision, accumulation and sharding are Accelerate's."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from flash_vstream_ros.training.accelerating import make_accelerator
from flash_vstream_ros.training.config import RunConfig
from flash_vstream_ros.training.dataset import MicroBatches
from flash_vstream_ros.training.job import Job
from flash_vstream_ros.training.meter import Meter
from flash_vstream_ros.training.optimizing import learning_rate, make_optimizer
from flash_vstream_ros.training.progress import RunState
from flash_vstream_ros.training.run_folder import alone_in

logger = logging.getLogger(__name__)

CHECKPOINT = 'checkpoint'
STATE = 'state'
LOGS = 'logs'
# The scaler of fp16 halves its factor each time, and has found one long before.
SKIPPED_IN_A_ROW = 20


class TrainingError(RuntimeError):
    """The training cannot go on; says at which step, with which data, and why."""


def run_training(config: RunConfig, make_job: Callable[[Any], Job]) -> None:
    """Train alone in the folder of the run; see :class:`Training`.

    :raises ValueError: another run trains there.
    """
    accelerator = make_accelerator(config)
    with alone_in(Path(config.out), accelerator):
        Training(config, make_job, accelerator).run()


class _Items(Dataset):
    """The items of a data set, where one cannot be had its error.

    Raised in a worker an error would come with the worker's traceback in place of its own words.
    """

    def __init__(self, data: Dataset) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Any:
        try:
            return self._data[index]
        except (OSError, ValueError) as error:
            return error


class Training:
    """A run, from its beginning or from where it was interrupted, to its end.

    ``out`` then holds ``checkpoint`` (published layout), ``state`` (to go on from) and ``logs``
    (TensorBoard).

    :param make_job: makes what is trained.
    :param accelerator: of :func:`make_accelerator`.
    :raises OSError: a file is missing or cannot be written.
    :raises ValueError: the data or the checkpoint is of no use.
    """

    def __init__(
        self, config: RunConfig, make_job: Callable[[Any], Job], accelerator: Accelerator
    ) -> None:
        self.config = config
        self.out = Path(config.out)
        self._accelerator = accelerator
        self._skipped = 0  # steps in a row
        set_seed(config.seed)
        self._job = make_job(config)
        self._state = RunState(self.out / STATE, asdict(config), self._job.origins)
        epochs = math.ceil(config.epochs * self._job.steps_an_epoch)
        self._steps = config.steps or max(1, epochs)  # of the schedule
        self._end = min(config.stop_at or self._steps, self._steps)
        self._prepare(self._job.model)

    def _prepare(self, model: nn.Module) -> None:
        model.train()
        optimizer = make_optimizer(model, self.config)
        self._model, self._optimizer = self._accelerator.prepare(model, optimizer)

    def run(self) -> None:
        """Train from where the run stands to its end.

        :raises OSError: an item of the data cannot be read, or the run not be written.
        :raises ValueError: an item of the data is of no use.
        :raises TrainingError: the loss is no number, or a step has nothing to learn from.
        """
        path, step = self._state.newest()
        if path is not None:
            self._accelerator.load_state(str(path))
            # Its count of parts is that of as many processes as there were; a step is whole here.
            self._accelerator.step = 0
            logger.info('%s: goes on after step %d of %d', self.out, step, self._end)
        if step >= self._end:
            logger.info('%s: all %d steps are done', self.out, self._end)
            self._mend_checkpoint()
            return
        self._begin_logs(step)
        batches = iter(self._loader(step))
        bar = tqdm(
            range(step + 1, self._end + 1),
            initial=step,
            total=self._end,
            unit='step',
            # Shown on a terminal only, and once.
            disable=None if self._accelerator.is_main_process else True,
        )
        meter = Meter()
        for step in bar:
            self._step(step, batches, meter)
            if step % self.config.log_every == 0 or step == self._end:
                self._log(step, meter, bar)
            is_due = self.config.save_every and step % self.config.save_every == 0
            if is_due or step == self._end:
                self._save(step)
        self._accelerator.end_training()

    def _loader(self, start: int) -> DataLoader:
        order = MicroBatches(
            len(self._job.data),
            self.config,
            start,
            self._steps,
            self._accelerator.process_index,
            self._accelerator.num_processes,
        )
        workers = self.config.workers
        if workers:
            _share_by_name()
        return DataLoader(
            _Items(self._job.data),
            batch_sampler=order,
            collate_fn=list,
            num_workers=workers,
            worker_init_fn=_share_by_name,
        )

    def _step(self, step: int, batches: Iterator[list[Any]], meter: Meter) -> None:
        """One step of the optimizer: the mean over all labels of the global batch."""
        accelerator = self._accelerator
        rate = learning_rate(self.config, step, self._steps)
        for group in self._optimizer.param_groups:
            group['lr'] = rate
        parts = [_whole(next(batches)) for _ in range(accelerator.gradient_accumulation_steps)]
        data = [self._job.collate(part) for part in parts]
        counts = [self._job.count(*pair) for pair in zip(data, parts, strict=True)]
        labels = int(self._sum(sum(count.labels for count in counts)))
        self._check_labels(labels, step, parts)
        # Accelerate takes the mean over processes and accumulated parts; this undoes it.
        scale = accelerator.num_processes * len(parts) / labels
        for part, batch, count in zip(parts, data, counts, strict=True):
            with accelerator.accumulate(self._model):
                with accelerator.autocast():  # under FSDP2 prepare leaves it out
                    total = self._model(send_to_device(batch, accelerator.device)).total
                self._check(total, step, part, 'loss')
                accelerator.backward(total * scale)
                if accelerator.sync_gradients:
                    norm = self._clip(step, part)
                self._optimizer.step()
                self._optimizer.zero_grad()
            meter.add(total.detach(), count)
        meter.end_step(rate, norm, labels, self._count_skipped(step))

    def _check_labels(self, labels: int, step: int, parts: Sequence[Sequence[Any]]) -> None:
        if labels == 0:
            names = '; '.join(self._job.name(item) for part in parts for item in part)
            raise TrainingError(
                f'step {step}: no token to learn from in the whole global batch: no answer fits '
                f'max_length. Its data: {names}. Try a larger max_length or global_batch'
            )

    def _clip(self, step: int, part: Sequence[Any]) -> Tensor:
        # All of them, frozen ones too: by that Accelerate knows FSDP's shards for what they are.
        parameters = self._model.parameters()
        norm = self._accelerator.clip_grad_norm_(parameters, self.config.max_grad_norm)
        norm = torch.as_tensor(0.0 if norm is None else norm)  # None: DeepSpeed clips by itself
        if self.config.precision != 'fp16':  # whose scaler leaves such steps out
            self._check(norm, step, part, 'gradient')
        return norm

    def _count_skipped(self, step: int) -> bool:
        """Whether the step was left out; an error where none is taken any more."""
        is_skipped = self._optimizer.step_was_skipped
        self._skipped = self._skipped + 1 if is_skipped else 0
        if self._skipped >= SKIPPED_IN_A_ROW:
            raise TrainingError(
                f'step {step}: {self._skipped} steps in a row were left out, as their gradients '
                f'are no numbers in precision fp16. Try precision bf16 or no; the state in '
                f'{self.out / STATE} is from before'
            )
        return is_skipped

    def _check(self, value: Tensor, step: int, part: Sequence[Any], what: str) -> None:
        number = value.item()
        if not math.isfinite(number):
            names = '; '.join(map(self._job.name, part))
            raise TrainingError(
                f'step {step}: the {what} is {number}, no number to learn from. Its data: '
                f'{names}. Try a lower learning_rate, or precision bf16 or no; the state in '
                f'{self.out / STATE} is from before'
            )

    def _sum(self, value: float) -> Tensor:
        """Sum over all processes."""
        tensor = torch.tensor(value, dtype=torch.float32, device=self._accelerator.device)
        return self._accelerator.reduce(tensor, 'sum')

    def _begin_logs(self, step: int) -> None:
        # What an interrupted run logged beyond its last state is logged again.
        kwargs = {'tensorboard': {'purge_step': step + 1}}
        self._accelerator.init_trackers(LOGS, init_kwargs=kwargs)

    def _log(self, step: int, meter: Meter, bar: tqdm) -> None:
        values = meter.take(self._sum)
        self._accelerator.log(values, step=step)
        loss, speed = f'{values["loss"]:.4f}', f'{values["tokens_per_second"]:.0f}'
        bar.set_postfix(loss=loss, tokens_s=speed)
        if bar.disable and self._accelerator.is_main_process:  # no terminal: a line to a file
            logger.info('step %d of %d: loss %s, %s tokens/s', step, self._end, loss, speed)

    def _save(self, step: int) -> None:
        self._write_checkpoint()
        self._state.save(self._accelerator, step)

    def _write_checkpoint(self) -> None:
        state = self._accelerator.get_state_dict(self._model)
        if self._accelerator.is_main_process:
            self._job.save(self.out / CHECKPOINT, state)

    def _mend_checkpoint(self) -> None:
        """Write the checkpoint of a run that is done, where it lacks or is of another type."""
        folder = self.out / CHECKPOINT
        # All take part in the writing, so all go by what the first one finds.
        (is_saved,) = broadcast_object_list([self._job.is_saved(folder)])
        if not is_saved:
            logger.info('%s: missing, or not of this save_dtype: written anew', folder)
            self._write_checkpoint()


def _whole(part: list[Any]) -> list[Any]:
    """Raise what is wrong with an item."""
    for item in part:
        if isinstance(item, Exception):
            raise item
    return part


def _share_by_name(worker: int = 0) -> None:
    """Let workers hand tensors over by name: not by descriptors, of which a step needs thousands.

    :param worker: its number, which does not matter.
    """
    del worker
    torch.multiprocessing.set_sharing_strategy('file_system')
