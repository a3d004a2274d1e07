"""The findings of the paper, as checks over finished experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_facepatch.experiments import experiment_name
from mmdet_facepatch.utils.digests import content_digest
from mmdet_facepatch.utils.files import write_atomically
from mmdet_facepatch.utils.json_files import read_json, to_json, write_json
from mmdet_facepatch.utils.provenance import portable, software_versions
from mmdet_facepatch.utils.tables import markdown_table

from .checks import CHECKS, deciding
from .evidence import Evidence, NotHereError
from .verdicts import VERDICTS, base, summarise

#: Version of the JSON file.
SCHEMA_VERSION = 3


def judge_findings(
    path: str, work_dir: str | Path, data: str, root: str | Path, results: str | Path
) -> dict[str, Any]:
    """Run the checks of all findings.

    A check whose runs are not on this machine keeps the result that it had, if it is
    the same check of the same runs and numbers.

    Args:
        path (str): Config with ``title``, ``note`` and ``findings``, each with
            ``key``, ``claim`` and ``checks``, as ``.dev_scripts/findings/paper.py``.
        work_dir (str | Path): Of ``tools/experiment.py``.
        data (str): Name of the data of the experiments.
        root (str | Path): Folder of the repository, to which paths are relative.
        results (str | Path): As ``.results``, for what the work dir does not have.

    Returns:
        dict: ``kind`` 'findings', ``title``, ``config``, ``data``, ``command``,
        ``note``, ``versions`` and ``findings``, each with ``verdict``, ``measured``
        (the check that decides) and ``checks``, each with ``statement``, ``verdict``,
        ``measured``, ``results``, the digests ``config`` and ``rests_on`` (of its
        runs), and ``versions`` of the software that judged it.

    Raises:
        FileNotFoundError: If there is no such config, or neither a check's runs nor
            an earlier result of theirs.
        ValueError: If a check is misspelt.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} of findings does not exist')
    cfg = Config.fromfile(path).to_dict()
    evidence = Evidence(work_dir, data, results)
    name = f'{experiment_name(path, data)}.json'
    earlier = _earlier_checks(Path(results) / name, Path(work_dir) / name)
    config = portable(str(Path(path).absolute()), root)
    content = dict(
        schema_version=SCHEMA_VERSION,
        kind='findings',
        title=cfg['title'],
        note=cfg['note'],
        config=config,
        data=data,
        command=(
            f'python .dev_scripts/judge_findings.py {config} '
            f'--data {portable(data, root)}'
        ),
        versions=software_versions(),
        findings=[_judge(finding, evidence, earlier) for finding in cfg['findings']],
    )
    return portable(content, root)


def write_findings(content: Mapping[str, Any], path: str | Path) -> str:
    """Write the JSON file, and its tables as Markdown beside it.

    Args:
        content (Mapping[str, Any]): Of :func:`judge_findings`.
        path (str | Path): Of the JSON file; its folder is made if it is not there.

    Returns:
        str: The Markdown.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    markdown = '\n\n'.join(
        [f'# {content["title"]}', content['note'], *findings_blocks(content)]
    )
    write_json(target, content)
    write_atomically(target.with_suffix('.md'), f'{markdown}\n'.encode())
    return markdown


def read_findings(path: str | Path) -> dict[str, Any]:
    """Read what :func:`write_findings` wrote.

    Raises:
        ValueError: If it is of another version.
    """
    content = read_json(path)
    version = content.get('schema_version')
    if version != SCHEMA_VERSION:
        raise ValueError(
            f'{path}: schema_version is {version!r}, but must be {SCHEMA_VERSION}; '
            'judge the findings again'
        )
    return content


def findings_blocks(content: Mapping[str, Any]) -> list[str]:
    """A summary, then each finding with its checks, in Markdown.

    Args:
        content: Of ``findings.json``.
    """
    found = content['findings']
    summary = markdown_table(
        ['', 'claim', 'verdict', 'what decides'],
        [
            [f'({f["key"]})', f['claim'], f'**{f["verdict"]}**', f['measured']]
            for f in found
        ],
    )
    details = [
        markdown_table(
            ['', 'measured; of several, what speaks most against it', 'verdict'],
            [[c['statement'], c['measured'], c['verdict']] for c in finding['checks']],
            f'({finding["key"]}) {finding["claim"]}',
        )
        for finding in found
    ]
    return [summary, *details]


def _earlier_checks(*paths: Path) -> dict[tuple, dict]:
    """Checks that were judged before, by what they ask and what they rest on."""
    checks = [
        check
        for path in paths
        if path.is_file()
        and (content := read_json(path))['schema_version'] == (SCHEMA_VERSION)
        for finding in content['findings']
        for check in finding['checks']
    ]
    return {(check['config'], check['rests_on']): check for check in checks}


def _judge(
    finding: Mapping[str, Any], evidence: Evidence, earlier: Mapping[tuple, dict]
) -> dict[str, Any]:
    checks = [_judge_check(config, evidence, earlier) for config in finding['checks']]
    worst = min(checks, key=lambda check: VERDICTS.index(base(check['verdict'])))
    return dict(
        key=finding['key'],
        claim=finding['claim'],
        verdict=summarise([check['verdict'] for check in checks]),
        measured=f'{worst["statement"]}: {worst["measured"]}',
        checks=checks,
    )


def _judge_check(
    config: Mapping[str, Any], evidence: Evidence, earlier: Mapping[tuple, dict]
) -> dict[str, Any]:
    check = CHECKS.build(config)
    identity = dict(
        config=content_digest(config), rests_on=evidence.digest(check.used(evidence))
    )
    try:
        results = check.run(evidence)
    except NotHereError as error:
        known = earlier.get(tuple(identity.values()))
        if known is None:
            raise NotHereError(
                f'{check.statement}: {error}; of these runs no earlier result is kept'
            ) from error
        return known
    return dict(
        statement=check.statement,
        verdict=summarise([result.verdict for result in results], 'comparisons'),
        measured=deciding(results).text,
        results=to_json([asdict(result) for result in results]),
        **identity,
        versions=software_versions(),
    )
