"""The checks of the paper's findings, as they are configured."""

from __future__ import annotations

from pathlib import Path

from findings.checks import CHECKS
from mmengine.config import Config

from mmdet_facepatch.experiments import read_spec

ROOT = Path(__file__).resolve().parents[2]


def test_findings_name_what_exists():
    """Every check can be built, and every entry that it names is in its experiment."""
    known: dict[str, set[str]] = {}
    cfg = Config.fromfile(ROOT / '.dev_scripts' / 'findings' / 'paper.py').to_dict()
    for finding in cfg['findings']:
        assert finding['checks']
        for config in finding['checks']:
            check = CHECKS.build(config)
            named = {check.experiment: set(check.names)}
            if hasattr(check, 'references'):
                named.setdefault(check.reference_experiment, set()).update(
                    check.references
                )
            for experiment, entries in named.items():
                if experiment not in known:
                    (path,) = (ROOT / 'configs').glob(f'*/{experiment}.py')
                    spec = read_spec(str(path))
                    known[experiment] = {e.group or e.name for e in spec.entries}
                assert entries <= known[experiment], check.statement
