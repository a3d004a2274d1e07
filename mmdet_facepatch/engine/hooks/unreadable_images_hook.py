"""The count of images that were skipped, in the log."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets import LoadIntactImage, find_image_loaders


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Count how many unreadable images were replaced by others in training.

    They are where ``LoadIntactImage(unreadable='skip')`` stands in the pipeline. The
    sum over all processes is logged after each epoch and after training, when it has
    grown, and kept as ``unreadable_images`` in the message hub.
    """

    def __init__(self) -> None:
        self.total = 0

    def _report(self, runner: Runner) -> None:
        loaders = find_image_loaders(runner.train_dataloader.dataset)
        own = sum(
            step.num_skipped for step in loaders if isinstance(step, LoadIntactImage)
        )
        total = sum(all_gather_object(own))
        if total == self.total:
            return
        self.total = total
        runner.message_hub.update_info('unreadable_images', total)
        if is_main_process():
            runner.logger.warning(
                f'{total} times an image could not be read, and another one, drawn at '
                'random, was used; the log names the files'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what the epoch skipped."""
        self._report(runner)

    def after_train(self, runner: Runner) -> None:
        """Report what is left; loops by iteration have no epochs."""
        self._report(runner)
