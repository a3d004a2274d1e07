"""The checks of the paper's findings, as they are configured."""

from __future__ import annotations

from pathlib import Path

import pytest
from findings.checks import CHECKS
from findings.judge import findings_blocks, judge_findings
from mmengine.config import Config

from mmdet_facepatch.experiments import read_spec

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / '.dev_scripts' / 'findings' / 'paper.py'
FINDINGS = Config.fromfile(PAPER).to_dict()['findings']


def test_the_findings_are_few():
    assert [finding['key'] for finding in FINDINGS] == list('abcdefgh')
    assert all(2 <= len(finding['checks']) <= 6 for finding in FINDINGS)


@pytest.mark.parametrize('finding', FINDINGS, ids=lambda finding: finding['key'])
def test_findings_name_what_exists(finding):
    """Every check can be built; its entries are in its experiment, on one detector.

    Beside those stand the clean images of each detector, which tell whether it has
    enough detections.
    """
    specs = {}
    for config in finding['checks']:
        check = CHECKS.build(config)
        for experiment, name in check.names():
            if experiment not in specs:
                (path,) = (ROOT / 'configs').glob(f'*/{experiment}.py')
                specs[experiment] = read_spec(str(path))
            assert specs[experiment].select([name]), check.statement
        for entry, reference in config.get('pairs', ()):
            where = config.get('reference_experiment', config['experiment'])
            one, two = specs[config['experiment']], specs[where]
            (detector,) = {
                found.detector
                for found in (*one.select([entry]), *two.select([reference]))
            }
            assert ('clean', detector) in {
                (found.condition, found.detector) for found in one.entries
            }, check.statement


def test_all_is_at_the_delta_of_the_paper():
    for finding in FINDINGS:
        for config in finding['checks']:
            numbers = config.get('numbers') or config['number']
            for number in [numbers] if isinstance(numbers, str) else numbers:
                assert number.endswith('@0.99') or number.startswith(
                    ('all/AF', 'likeness/')
                )


def test_nothing_is_measured(tmp_path):
    """As in a clone without results."""
    content = judge_findings(
        str(PAPER), tmp_path / 'work_dirs', 'subset', ROOT, tmp_path / '.results'
    )
    assert {f['verdict'] for f in content['findings']} == {'not measured'}
    summary, *tables = findings_blocks(content)
    assert summary.count('**not measured**') == len(tables) == 8
