"""The findings of the paper, as checks over finished experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_facepatch.experiments import experiment_name
from mmdet_facepatch.utils.digests import content_digest
from mmdet_facepatch.utils.files import write_atomically
from mmdet_facepatch.utils.json_files import read_json, to_json, write_json
from mmdet_facepatch.utils.provenance import portable, software_versions
from mmdet_facepatch.utils.tables import markdown_table

from .checks import CHECKS
from .evidence import Evidence, NotHereError
from .verdicts import NOT_MEASURED, base, summarise

#: Version of the JSON file.
SCHEMA_VERSION = 2
# Checks that were not measured and are named, of each finding and reason.
NAMED = 4


def judge_findings(
    path: str, work_dir: str | Path, data: str, root: str | Path, results: str | Path
) -> dict[str, Any]:
    """Run the checks of all findings.

    A check whose runs are not on this machine keeps the result that it had, if it is
    the same check of the same runs and numbers.

    Args:
        path (str): Config with ``title`` and ``findings``, each with ``key``, ``claim``
            and ``checks``, as ``.dev_scripts/findings/paper.py``.
        work_dir (str | Path): Of ``tools/experiment.py``.
        data (str): Name of the data of the experiments.
        root (str | Path): Folder of the repository, to which paths are relative.
        results (str | Path): As ``.results``, for what the work dir does not have.

    Returns:
        dict: ``kind`` 'findings', ``title``, ``config``, ``data``, ``command``,
        ``versions`` and ``findings``, each with ``verdict`` and ``checks``, each with
        ``statement``, ``verdict``, ``results``, the digests ``config`` and
        ``rests_on`` (of its runs), and ``versions`` of the software that judged it.

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
    markdown = '\n\n'.join([f'# {content["title"]}', *findings_blocks(content)])
    write_json(target, content)
    write_atomically(target.with_suffix('.md'), f'{markdown}\n'.encode())
    return markdown


def findings_blocks(content: Mapping[str, Any]) -> list[str]:
    """A summary, then each finding with its checks, in Markdown.

    Args:
        content: Of ``findings.json``.
    """
    blocks = [
        markdown_table(
            ['', 'claim', 'verdict'],
            [
                [f'({item["key"]})', item['claim'], f'**{item["verdict"]}**']
                for item in content['findings']
            ],
        )
    ]
    for finding in content['findings']:
        measured = [c for c in finding['checks'] if c['verdict'] != NOT_MEASURED]
        missing = [c for c in finding['checks'] if c['verdict'] == NOT_MEASURED]
        blocks.append(
            markdown_table(
                [
                    '',
                    'measured; of several, the one that speaks most against it',
                    'verdict',
                ],
                [
                    [check['statement'], _measured(check), check['verdict']]
                    for check in measured
                ],
                f'({finding["key"]}) {finding["claim"]}',
            )
            if measured
            else f'**({finding["key"]}) {finding["claim"]}**'
        )
        if missing:
            blocks.append(_missing(missing))
    return blocks


def _missing(checks: Sequence[Mapping[str, Any]]) -> str:
    """Which checks are not measured, by the reason; the JSON file has all names."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        reasons.setdefault(_measured(check), []).append(check['statement'])
    parts = []
    for reason, names in reasons.items():
        more = len(names) - NAMED
        tail = f'; and {more} more' if more > 0 else ''
        parts.append(f'{reason}: {"; ".join(names[:NAMED])}{tail}')
    return f'Not measured, {". ".join(parts)}.'


def _earlier_checks(*paths: Path) -> dict[tuple, dict]:
    """Checks that were judged before, by what they ask and what they rest on."""
    checks = [
        check
        for path in paths
        if path.is_file()
        for finding in read_json(path)['findings']
        for check in finding['checks']
    ]
    return {(check['config'], check['rests_on']): check for check in checks}


def _judge(
    finding: Mapping[str, Any], evidence: Evidence, earlier: Mapping[tuple, dict]
) -> dict[str, Any]:
    checks = [_judge_check(config, evidence, earlier) for config in finding['checks']]
    return dict(
        key=finding['key'],
        claim=finding['claim'],
        verdict=summarise([check['verdict'] for check in checks]),
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
        results = to_json(check.run(evidence))
    except NotHereError as error:
        known = earlier.get(tuple(identity.values()))
        if known is None:
            raise NotHereError(
                f'{check.statement}: {error}; of these runs no earlier result is kept'
            ) from error
        return known
    return dict(
        type=config['type'],
        statement=check.statement,
        **{
            key: getattr(check, key, None)
            for key in ('number', 'expect', 'margin', 'factor')
        },
        verdict=summarise([r['verdict'] for r in results], 'comparisons'),
        results=results,
        **identity,
        versions=software_versions(),
    )


def _measured(check: Mapping[str, Any]) -> str:
    """The weakest result in words and numbers."""
    known = [
        result for result in check['results'] if base(result['verdict']) != NOT_MEASURED
    ]
    if not known:
        reasons = dict.fromkeys(r.get('reason', 'not run') for r in check['results'])
        return '; '.join(reasons)
    if 'order' in known[0]:
        return '; '.join(_order_text(result) for result in known)
    if 'coarse' in known[0]:
        weakest = min(
            known,
            key=lambda r: r['coarse'] if r['coarse'] is not None else float('-inf'),
        )
        return _similarity_text(weakest)
    return _difference_text(_weakest(known, check['expect']), check)


def _weakest(results: list[dict], expect: str) -> dict:
    against = {
        'below': lambda r: r['high'],
        'not above': lambda r: r['high'],
        'above': lambda r: -r['low'],
        'not below': lambda r: -r['low'],
        'equal': lambda r: max(-r['low'], r['high']),
    }
    return max(results, key=against[expect])


def _difference_text(result: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    share = 'precision' in check['number'] or 'recall' in check['number']
    scale, pattern, unit = (
        (100, '{:.1f}', ' points')
        if share
        else ((1, '{:.0f}', '') if 'on_patch' in check['number'] else (1, '{:.4f}', ''))
    )
    value, other, difference, low, high = (
        pattern.format(scale * result[key])
        for key in ('value', 'reference_value', 'difference', 'low', 'high')
    )
    times = '' if check['factor'] == 1 else f'{check["factor"]:g} x '
    return (
        f'{result["entry"]}: {value}, {result["reference"]}: {other}; difference '
        f'{"to " + times + "that " if times else ""}{difference}{unit} '
        f'[{low}, {high}]'
    )


def _order_text(result: Mapping[str, Any]) -> str:
    (first, value), *others = result['order']
    seed = '' if result['seed'] is None else f'seed {result["seed"]}: '
    return (
        seed
        + f'{first} {value:.4f}'
        + ''.join(
            f' {sign} {name} {number:.4f}'
            for sign, (name, number) in zip(result['signs'], others, strict=True)
        )
    )


def _similarity_text(result: Mapping[str, Any]) -> str:
    pixels, coarse, chance = (
        '-' if result[key] is None else f'{result[key]:.2f}'
        for key in ('pixels', 'coarse', 'chance')
    )
    return (
        f'{result["entry"]} and {result["reference"]}: correlation {coarse} of '
        f'blocks (chance: up to {chance}), {pixels} of pixels'
    )
