"""Faces in photographs, from a published detector or one of your own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from torch import nn

from .. import zoo
from ..attack.detector_config import num_classes
from ..models import check_checkpoint
from ..registry import SCOPE
from ..utils.target_classes import Target, class_labels


class FaceInferencer(DetInferencer):
    """mmdet's ``DetInferencer`` that knows the package's detectors and finds faces.

    Args:
        model (str | dict): Name of a published detector
            (:func:`mmdet_facepatch.zoo.names`), path of a config, or a config. Defaults
            to 'sln_mbv2_widerface_subset'.
        weights (str, optional): Checkpoint, or ``facepatch://NAME``. Defaults to None,
            the published weights of that name, if there are; black boxes bring their
            own.
        device (str, optional): As in mmdet. Defaults to None, the best there is.
        scope (str): As in mmdet. Defaults to 'mmdet_facepatch', where mmdet's modules
            are found, too.
        palette (str): As in mmdet. Defaults to 'none', that of the config's data set.
        show_progress (bool): As in mmdet. Defaults to True.
        target (Target): Name or index of the class that is looked for, or several; the
            detections of others are left out. None if the detector has one. Defaults to
            None.

    Called with images (paths, folders, or (H, W, 3) uint8 arrays in BGR order), it
    returns and writes what mmdet's does.

    Raises:
        FileNotFoundError: If ``model`` is neither a published detector nor a file.
        ValueError: If a detector has no weights, or no class of the target's name.

    Example:
        >>> inferencer = FaceInferencer()
        >>> found = inferencer('photo.jpg', out_dir='work_dirs/photo')
        >>> found['predictions'][0]['bboxes']  # xyxy, in pixels of the photograph
    """

    def __init__(
        self,
        model: str | dict | Config | ConfigDict = 'sln_mbv2_widerface_subset',
        weights: str | None = None,
        device: str | None = None,
        scope: str = SCOPE,
        palette: str = 'none',
        show_progress: bool = True,
        target: Target = None,
    ) -> None:
        if isinstance(model, str):
            if not Path(model).is_file():
                model = str(zoo.config_path(model))
            if weights is None and Path(model).stem in zoo.names():
                weights = f'{zoo.SCHEME}{Path(model).stem}'
        super().__init__(model, weights, device, scope, palette, show_progress)
        classes = self.model.dataset_meta.get('classes')
        self.labels = class_labels(
            target, classes, num_classes(self.model), 'the model'
        )

    def _load_weights_to_model(
        self, model: nn.Module, checkpoint: dict | None, cfg: Config
    ) -> None:
        given = None if checkpoint is None else 'that was given'
        check_checkpoint(model, given, str(getattr(cfg, 'filename', None) or 'model'))
        if checkpoint is None:
            # A black box has its weights; mmdet would call them random.
            meta = dict(dataset_meta=dict(classes=zoo.CLASSES))
            checkpoint = dict(state_dict=model.state_dict(), meta=meta)
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _get_transform_idx(self, pipeline_cfg: Any, name: Any) -> int:
        # mmdet 3.3 does not look past the scope in a type.
        plain = [dict(step, type=step['type'].split('.')[-1]) for step in pipeline_cfg]
        return super()._get_transform_idx(plain, name)

    @torch.no_grad()
    def forward(self, inputs: Any, **kwargs: Any) -> list[DetDataSample]:
        """Detections of faces.

        Args:
            inputs (Any): A batch of the pipeline.
            **kwargs (Any): As in mmdet.

        Returns:
            list[DetDataSample]: One for each image.
        """
        samples = super().forward(inputs, **kwargs)
        for sample in samples:
            found = sample.pred_instances
            sample.pred_instances = found[
                torch.isin(found.labels, found.labels.new_tensor(self.labels))
            ]
        return samples

    def visualize(
        self, inputs: Sequence[str | np.ndarray], preds: Any, **kwargs: Any
    ) -> list[np.ndarray] | None:
        """Draw detections; mmdet would take the colours of arrays for RGB.

        Args:
            inputs (Sequence[str | np.ndarray]): Paths, or (H, W, 3) uint8 BGR.
            preds (Any): What :meth:`forward` found in each.
            **kwargs (Any): As in mmdet.

        Returns:
            list[np.ndarray], optional: (H, W, 3) uint8 RGB, if they are asked for.
        """
        pictures = [
            image if isinstance(image, str) else image[..., ::-1] for image in inputs
        ]
        return super().visualize(pictures, preds, **kwargs)
