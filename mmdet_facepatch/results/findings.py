"""The findings of the paper, as checks over finished experiments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from ..engine.digests import content_digest, file_digest
from ..engine.experiment_report import table_folder
from ..engine.experiment_tables import markdown_table
from ..engine.manifest import portable, software_versions
from ..files import write_atomically
from .evidence import Evidence, NotHereError, rows_digest
from .verdicts import NOT_MEASURED, base, summarise

#: Version of findings.json.
SCHEMA_VERSION = 1
# Checks that were not measured and are named, of each finding and reason.
NAMED = 4


def judge_findings(path: str, work_dir: str | Path, data: str, root: str | Path,
                   kept: str | Path | None = None) -> dict[str, Any]:
    """Run the checks of all findings.

    A check whose runs are not on this machine keeps the result that it had, if it is
    the same check of the same runs, numbers and patches.

    Args:
        path: Config with ``title`` and ``findings``, each with ``key``, ``claim`` and
            ``checks``, see ``configs/findings/``.
        work_dir: Folder of all experiments, as of ``tools/experiment.py``.
        data: Name of the data that they were run on.
        root: Folder of the repository, to which paths are relative.
        kept: Folder of kept results, as ``.results``: tables and findings that the
            work dir has not.

    Returns:
        Content of ``findings.json``: ``kind`` 'findings', ``title``, ``config``,
        ``data``, ``command``, ``findings`` (each with ``verdict`` and ``checks``,
        each with ``statement``, ``verdict``, ``results``, the digests ``config`` and
        ``rests_on`` (of its runs), and ``versions`` of the software that judged it),
        and ``manifest`` (digests of the config and of the tables that were read,
        versions).

    Raises:
        FileNotFoundError: If there is no such config, or neither a check's runs nor
            an earlier result of theirs.
        ValueError: If a check is misspelt.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} of findings does not exist')
    cfg = Config.fromfile(path).to_dict()
    evidence = Evidence(work_dir, data, kept)
    earlier = _earlier_checks(table_folder(work_dir, path, data), kept)
    findings = [_judge(finding, evidence, earlier) for finding in cfg['findings']]
    name = portable(str(Path(path).absolute()), root)
    tables = {name: evidence.table_path(name)
              for name, table in evidence.tables.items() if table is not None}
    return portable(dict(
        schema_version=SCHEMA_VERSION, kind='findings', title=cfg['title'],
        config=name, data=data,
        command=f'python tools/findings.py {name} --data {portable(data, root)}',
        findings=findings,
        manifest=dict(
            config=content_digest(cfg['findings']), versions=software_versions(),
            tables={name: file_digest(table) for name, table in tables.items()})),
        root)


def write_findings(content: Mapping[str, Any], folder: str | Path) -> str:
    """Write findings.json and findings.md.

    Args:
        content: Of :func:`judge_findings`.
        folder: Made if it is not there.

    Returns:
        The Markdown.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False)
    markdown = '\n\n'.join([f'# {content["title"]}', *findings_blocks(content)])
    write_atomically(target / 'findings.json', f'{text}\n'.encode())
    write_atomically(target / 'findings.md', f'{markdown}\n'.encode())
    return markdown


def findings_blocks(content: Mapping[str, Any]) -> list[str]:
    """A summary, then each finding with its checks, in Markdown.

    Args:
        content: Of ``findings.json``.
    """
    blocks = [markdown_table('', ['claim', 'verdict'], {
        f'({finding["key"]})': [finding['claim'], f'**{finding["verdict"]}**']
        for finding in content['findings']})]
    for finding in content['findings']:
        measured = [c for c in finding['checks'] if c['verdict'] != NOT_MEASURED]
        missing = [c for c in finding['checks'] if c['verdict'] == NOT_MEASURED]
        blocks.append(markdown_table(
            f'({finding["key"]}) {finding["claim"]}',
            ['measured; of several, the one that speaks most against it', 'verdict'],
            {check['statement']: [_measured(check), check['verdict']]
             for check in measured}) if measured else
            f'**({finding["key"]}) {finding["claim"]}**')
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


def _earlier_checks(folder: Path, kept: str | Path | None) -> dict[tuple, dict]:
    """Checks that were judged before, by what they ask and what they rest on.

    Args:
        folder: Of the findings in the work dir.
        kept: Folder of kept results.
    """
    places = [folder] if kept is None else [Path(kept) / folder.name, folder]
    found = {}
    for path in (place / 'findings.json' for place in places):
        if path.is_file():
            content = json.loads(path.read_text(encoding='utf-8'))
            checks = [c for finding in content['findings'] for c in finding['checks']]
            found.update({(check['config'], check['rests_on']): check
                          for check in checks})
    return found


def _judge(finding: Mapping[str, Any], evidence: Evidence,
           earlier: Mapping[tuple, dict]) -> dict[str, Any]:
    checks = [_judge_check(config, evidence, earlier) for config in finding['checks']]
    return dict(key=finding['key'], claim=finding['claim'],
                verdict=summarise([check['verdict'] for check in checks]),
                checks=checks)


def _judge_check(config: Mapping[str, Any], evidence: Evidence,
                 earlier: Mapping[tuple, dict]) -> dict[str, Any]:
    check = TASK_UTILS.build(config)
    identity = dict(config=content_digest(config),
                    rests_on=rows_digest(check.rows(evidence)))
    try:
        results = check.run(evidence)
    except NotHereError as error:
        known = earlier.get(tuple(identity.values()))
        if known is None:
            raise NotHereError(
                f'{check.statement}: {error}; of these runs no earlier result is '
                'kept') from error
        return known
    return dict(
        type=config['type'], statement=check.statement,
        **{key: getattr(check, key, None)
           for key in ('number', 'expect', 'margin', 'factor')},
        verdict=summarise([r['verdict'] for r in results], 'comparisons'),
        results=results, **identity, versions=software_versions())


def _measured(check: Mapping[str, Any]) -> str:
    """The weakest result in words and numbers."""
    known = [result for result in check['results']
             if base(result['verdict']) != NOT_MEASURED]
    if not known:
        reasons = dict.fromkeys(r.get('reason', 'not run') for r in check['results'])
        return '; '.join(reasons)
    if 'order' in known[0]:
        return '; '.join(_order_text(result) for result in known)
    if 'coarse' in known[0]:
        weakest = min(known, key=lambda r: r['coarse'] if r['coarse'] is not None else
                      float('-inf'))
        return _similarity_text(weakest)
    return _difference_text(_weakest(known, check['expect']), check)


def _weakest(results: list[dict], expect: str) -> dict:
    against = {
        'below': lambda r: r['high'], 'not above': lambda r: r['high'],
        'above': lambda r: -r['low'], 'not below': lambda r: -r['low'],
        'equal': lambda r: max(-r['low'], r['high'])}
    return max(results, key=against[expect])


def _difference_text(result: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    share = 'precision' in check['number'] or 'recall' in check['number']
    scale, pattern, unit = (100, '{:.1f}', ' points') if share else (
        (1, '{:.0f}', '') if 'on_patch' in check['number'] else (1, '{:.4f}', ''))
    value, other, difference, low, high = (
        pattern.format(scale * result[key]) for key in
        ('value', 'reference_value', 'difference', 'low', 'high'))
    times = '' if check['factor'] == 1 else f'{check["factor"]:g} x '
    return (f'{result["cell"]}: {value}, {result["reference"]}: {other}; difference '
            f'{"to " + times + "that " if times else ""}{difference}{unit} '
            f'[{low}, {high}]')


def _order_text(result: Mapping[str, Any]) -> str:
    (first, value), *others = result['order']
    seed = '' if result['seed'] is None else f'seed {result["seed"]}: '
    return seed + f'{first} {value:.4f}' + ''.join(
        f' {sign} {cell} {number:.4f}' for sign, (cell, number) in zip(
            result['signs'], others, strict=True))


def _similarity_text(result: Mapping[str, Any]) -> str:
    pixels, coarse, chance = ('-' if result[key] is None else f'{result[key]:.2f}'
                              for key in ('pixels', 'coarse', 'chance'))
    return (f'{result["cell"]} and {result["reference"]}: correlation {coarse} of '
            f'blocks (chance: up to {chance}), {pixels} of pixels')
