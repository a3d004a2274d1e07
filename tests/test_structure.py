"""Structure of the package: imports flow one way, files are short, docstrings fit.

Everything is read from the source; nothing of the package is imported.
"""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmdet_facepatch'

#: Each may import from those before it.
LAYERS = (
    'version',
    'stack',
    'registry',
    'ops',
    'utils',
    'zoo',
    'models',
    'evaluation',
    'attack',
    'datasets',
    'visualization',
    'engine',
    'apis',
    'experiments',
)
#: Inside evaluation, likewise.
EVALUATION_LAYERS = ('functional', 'io', 'metrics', 'report', 'report_tables')
MOST_LINES = 400

FILES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if not any(part.startswith('.') for part in path.relative_to(PACKAGE).parts)
)


def module_name(path: Path) -> str:
    """Dotted name below the package, '' for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


MODULES = {module_name(path): path for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


@cache
def imports(path: Path) -> frozenset[tuple[str, str, bool]]:
    """Module and name of each import from the package, and whether it is at the top."""
    found = set()
    top = set(tree(path).body)
    package = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                module = '.'.join((*base, *filter(None, [node.module])))
            elif (node.module or '').split('.')[0] == PACKAGE.name:
                module = (node.module or '').partition('.')[2]
            else:
                continue
            found |= {(module, alias.name, node in top) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                (alias.name.partition('.')[2], '', node in top)
                for alias in node.names
                if alias.name.split('.')[0] == PACKAGE.name
            }
    return frozenset(found)


def targets(path: Path, at_import: bool = False) -> set[str]:
    """Modules of the package that a file imports, or those it imports on its own
    import."""
    return {
        f'{module}.{name}'.strip('.')
        if f'{module}.{name}'.strip('.') in MODULES
        else module
        for module, name, top in imports(path)
        if top or not at_import
    }


@pytest.mark.parametrize('name', [name for name in MODULES if name])
def test_imports_flow_one_way(name):
    layer = name.split('.')[0]
    assert layer in LAYERS, f'{layer} has no place among the layers'
    below = LAYERS[: LAYERS.index(layer) + 1]
    for target in targets(MODULES[name]) - {''}:
        assert target.split('.')[0] in below, f'{name} imports {target}'


def test_evaluation_flows_one_way():
    for name, path in MODULES.items():
        if not name.startswith('evaluation.'):
            continue
        part = name.split('.')[1]
        below = EVALUATION_LAYERS[: EVALUATION_LAYERS.index(part) + 1]
        for target in targets(path):
            if target.split('.')[0] == 'evaluation':
                assert target.split('.')[1:2][0] in below, f'{name} imports {target}'


def test_no_module_imports_itself_in_a_circle():
    """A package's __init__ counts as one more module, imported by its name alone."""
    graph = {
        name: targets(path, at_import=True) - {name} for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_file_is_short(path):
    assert len(path.read_text(encoding='utf-8').splitlines()) <= MOST_LINES


def public_definitions(path: Path):
    """Qualified names and nodes of what a module offers."""
    for node in tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != '_':
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name[0] != '_':
                        yield f'{node.name}.{method.name}', method


def parameters(node: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """Names that a docstring has to have, without self and cls; names with a star."""
    named = node.args
    names = [a.arg for a in (*named.posonlyargs, *named.args, *named.kwonlyargs)]
    stars = [f'*{named.vararg.arg}'] if named.vararg else []
    stars += [f'**{named.kwarg.arg}'] if named.kwarg else []
    return set(names) - {'self', 'cls'}, set(stars)


def documented(docstring: str) -> list[str]:
    """Names under ``Args:``, in mmdet's layout ``name (type): text``."""
    section = re.search(r'^Args:\n((?:    .*\n|\n)*)', docstring + '\n', re.MULTILINE)
    if not section:
        return []
    return re.findall(r'^    (\*{0,2}\w+)(?: \(.+\))?:', section[1], re.MULTILINE)


def init_of(node: ast.AST) -> ast.FunctionDef | None:
    """The function whose arguments a docstring describes."""
    if isinstance(node, ast.FunctionDef):
        return node
    methods = (method for method in node.body if isinstance(method, ast.FunctionDef))
    return next((method for method in methods if method.name == '__init__'), None)


@pytest.mark.parametrize('name', MODULES)
def test_docstrings(name):
    """Each public thing has one; if it names arguments, these are its arguments.

    What is passed on by a star may be named as well.
    """
    for qualified, node in public_definitions(MODULES[name]):
        docstring = ast.get_docstring(node)
        if any(ast.unparse(d).endswith('.setter') for d in node.decorator_list):
            continue
        assert docstring, f'{qualified} has no docstring'
        function, names = init_of(node), documented(docstring)
        if function is None or not names:
            continue
        assert len(set(names)) == len(names), qualified
        own, stars = parameters(function)
        missing, unknown = own - set(names), set(names) - own - stars
        assert not missing, f'{qualified} does not describe {missing}'
        assert not unknown or stars, f'{qualified} has no {unknown}'
