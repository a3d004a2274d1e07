"""Index of the published weights, in OpenMMLab's format.

MMEngine's inferencers and ``mim search`` find detectors by it; it is written from the
manifests of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import zoo
from ..evaluation.functional.faces import OFFICIAL_SUBSETS
from ..utils.files import write_atomically
from ..utils.json_files import read_json
from ..utils.safe_loading import read_checkpoint

#: Name, URL and title of the paper of each detector, by its type in configs.
_COLLECTIONS = {
    'SLN': (
        'SLN',
        'https://openaccess.thecvf.com/content_CVPR_2019/html/Ming_Group_Sampling_'
        'for_Scale_Invariant_Face_Detection_CVPR_2019_paper.html',
        'Group Sampling for Scale Invariant Face Detection',
    ),
    'SingleStageDetector': (
        'SSD',
        'https://arxiv.org/abs/1512.02325',
        'SSD: Single Shot MultiBox Detector',
    ),
    'RetinaNet': (
        'RetinaNet',
        'https://arxiv.org/abs/1708.02002',
        'Focal Loss for Dense Object Detection',
    ),
    'FasterRCNN': (
        'Faster R-CNN',
        'https://arxiv.org/abs/1506.01497',
        'Faster R-CNN: Towards Real-Time Object Detection with Region Proposal '
        'Networks',
    ),
}
_NO_PARAMETERS = ('running_mean', 'running_var', 'num_batches_tracked')
_HEAD = '# Written by tools/publish.py from mmdet_facepatch/zoo/*.json.\n'


def build_metafile() -> dict[str, list[dict[str, Any]]]:
    """All published weights as OpenMMLab's metafiles list them.

    Returns:
        dict[str, list[dict[str, Any]]]: ``Collections`` and ``Models``, with AP in
        [0, 1].

    Raises:
        ValueError: If the paper of a detector's type is not known here.
    """
    manifests = [read_json(zoo.FOLDER / f'{name}.json') for name in zoo.names()]
    types = sorted({manifest['config']['model']['type'] for manifest in manifests})
    return dict(
        Collections=[_collection(kind) for kind in types],
        Models=[_model(manifest) for manifest in manifests],
    )


def write_metafile(path: str | Path) -> None:
    """Write the index of all published weights, ``configs/metafile.yml``."""
    text = yaml.safe_dump(build_metafile(), sort_keys=False, width=88)
    write_atomically(path, f'{_HEAD}{text}'.encode())


def _collection(kind: str) -> dict[str, Any]:
    if kind not in _COLLECTIONS:
        raise ValueError(
            f'model.type {kind!r}: name its paper in {__name__}._COLLECTIONS'
        )
    name, url, title = _COLLECTIONS[kind]
    return dict(
        Name=name,
        Metadata={'Training Data': 'WIDER FACE'},
        Paper=dict(URL=url, Title=title),
        README='README.md',
    )


def _model(manifest: Mapping[str, Any]) -> dict[str, Any]:
    name, config = manifest['name'], manifest['config']
    data = manifest['data']
    events = data['events'] or [f'{data["num_events"]} events']
    trainings = [*manifest.get('before', ()), manifest]
    numbers, tested = manifest['report']['numbers'], manifest['report']['data']
    split = 'val' if '_val_' in tested['ann_file'] else 'train'
    metrics = {f'AP {subset}': numbers[f'{subset}/AP'] for subset in OFFICIAL_SUBSETS}
    return {
        'Name': name,
        'In Collection': _collection(config['model']['type'])['Name'],
        'Config': f'configs/{name}.py',
        'Metadata': {
            'Training Data': (
                f'WIDER FACE ({data["images"]} images of {", ".join(events)})'
            ),
            'Batch Size': config['train_dataloader']['batch_size'],
            'Iterations': sum(training['iter'] for training in trainings),
            'Parameters': _count_parameters(name),
        },
        'Results': [
            {
                'Task': 'Face Detection',
                'Dataset': f'WIDER FACE {split} ({numbers["num_images"]:.0f} images)',
                'Metrics': {key: round(value, 4) for key, value in metrics.items()},
            }
        ],
        # mim download fetches by HTTP only what is not there: of this URL, with no file
        # name after the slash, nothing, since the weights are in the package.
        'Weights': f'{zoo.SCHEME}{name}/',
    }


def _count_parameters(name: str) -> int:
    state = read_checkpoint(zoo.checkpoint_path(name))['state_dict']
    return sum(
        value.numel()
        for key, value in state.items()
        if not key.endswith(_NO_PARAMETERS)
    )
