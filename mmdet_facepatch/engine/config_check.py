"""Misspelt keys and types in a config, found before anything is built."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import mmdet.registry
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..registry import SCOPE

#: Keys of a config that something is built from; others are variables of its file.
BUILT_KEYS = frozenset(inspect.signature(Runner.__init__).parameters) | {
    'compile',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'pyramid',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
# Whose modules are looked up. mmengine notes that of a base that PACKAGE::PATH names.
SCOPES = ('mmdet', 'mmengine', SCOPE)
# Registries of mmdet, whose parents are mmengine's.
REGISTRIES = tuple(
    value
    for value in vars(mmdet.registry).values()
    if isinstance(value, Registry) and value.scope == 'mmdet'
)
# Where a name is looked up that nothing in a registry has; others have their siblings'.
TOP_LEVEL = dict(
    model=('model',),
    optim_wrapper=('optim_wrapper',),
    optimizer=('optimizer',),
    dataset=('dataset',),
    sampler=('data sampler', 'task util'),
    train_cfg=('loop',),
    val_cfg=('loop',),
    test_cfg=('loop',),
    visualizer=('visualizer',),
    log_processor=('log_processor',),
    val_evaluator=('metric', 'evaluator'),
    test_evaluator=('metric', 'evaluator'),
)
# What is taken out of a dict before the rest becomes arguments, by registry.
TAKEN_OUT = {
    'hook': {'priority'},
    'loop': {'by_epoch'},
    'model': {
        # Norms, convolutions and upsampling, whose dicts mmcv and mmdet read first.
        'requires_grad',
        'deformable_groups',
        'fallback_on_stride',
        'scale_factor',
        'upsample_kernel',
        # Of DETR-like heads, in the dict of their loss.
        'bg_cls_weight',
    },
    'optim_wrapper': {'constructor', 'optimizer', 'paramwise_cfg'},
    'parameter scheduler': {'convert_to_iter_based', 'epoch_length'},
    'weight initializer': {'layer', 'name', 'override'},
}
ALWAYS_TAKEN_OUT = {'type', '_scope_'}
# mmengine builds a data loader of these, and DataLoader takes the rest.
LOADER_KEYS = {'num_batch_per_epoch', 'pin_memory_device'} | set(
    inspect.signature(DataLoader.__init__).parameters
)
# Their dicts have types of other libraries.
FOREIGN = {'Albu'}
# How alike names are of which one is a misspelling of the other.
SIMILAR_TYPE, SIMILAR_KEY = 0.8, 0.6
MOST_PROBLEMS = 5


def check_config(cfg: Mapping[str, Any]) -> None:
    """Compare each dict that has a ``type`` with what that takes.

    A class that passes ``**kwargs`` to its base class takes what that takes; of one
    that does something else with them nothing is judged, except if it says what takes
    them, by the class attribute ``kwargs_of`` (a class or function).

    Args:
        cfg (Mapping[str, Any]): A config. Dicts of other scopes than mmdet's and
            mmengine's are passed by.

    Raises:
        KeyError: If a type has no such argument, or a type is not registered and one
            with nearly its name is.

    Example:
        >>> model = dict(type='DetDataPreprocessor', pad_size_div=32)
        >>> check_config(dict(model=model))
        Traceback (most recent call last):
        KeyError: "model.pad_size_div: DetDataPreprocessor has no argument
        'pad_size_div'; did you mean 'pad_size_divisor'?"
    """
    if cfg.get('default_scope') not in (None, *SCOPES):
        return
    for registry in REGISTRIES:
        for one in (registry, registry.parent):
            if one is not None:
                one.import_from_location()
    built = {key: value for key, value in cfg.items() if key in BUILT_KEYS}
    problems = [*_walk(built, '', ())]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        text = '; '.join(problems[:MOST_PROBLEMS])
        raise KeyError(f'{text}; and {more} more' if more > 0 else text)


def did_you_mean(name: str, known: Any, similar: float = SIMILAR_KEY) -> str | None:
    """The one of some names that a misspelt one is most like.

    Args:
        name (str): Misspelt.
        known (Iterable[str]): What there is.
        similar (float): Likeness in [0, 1] from which on one is named. Defaults to
            0.6.

    Returns:
        str, optional: None if none is like it.
    """
    return next(iter(difflib.get_close_matches(name, known, 1, similar)), None)


def _walk(value: Any, path: str, siblings: tuple[str, ...]) -> Iterator[str]:
    """Problems of a value and of what is below it."""
    if isinstance(value, (list, tuple)):
        families = _families(value)
        for index, item in enumerate(value):
            yield from _walk(item, f'{path}.{index}', families or siblings)
        return
    if not isinstance(value, Mapping):
        return
    kind = value.get('type')
    if '_scope_' in value or (isinstance(kind, str) and '.' in kind):
        scope = value.get('_scope_', str(kind).partition('.')[0])
        if scope not in SCOPES:
            return
    if kind is not None:
        yield from _check_typed(value, path, siblings)
        if kind in FOREIGN:
            return
    elif path.endswith('_dataloader'):
        for key in value:
            if key not in LOADER_KEYS:
                yield _unknown(f'{path}.{key}', 'a data loader', key, LOADER_KEYS)
    families = _families(value.values())
    for key, item in value.items():
        below = f'{path}.{key}' if path else str(key)
        yield from _walk(item, below, TOP_LEVEL.get(str(key), families))


def _families(values: Any) -> tuple[str, ...]:
    """Names of the registries that know the types among some values."""
    found = [
        name
        for value in values
        if isinstance(value, Mapping)
        for name in find_builders(value.get('type'))
    ]
    return tuple(dict.fromkeys(found))


def find_builders(kind: Any) -> dict[str, Any]:
    """What a type stands for, by the name of each registry that knows it."""
    if callable(kind):
        return {'': kind}
    if not isinstance(kind, str):
        return {}
    scope, _, name = kind.rpartition('.')
    found = {}
    for registry in REGISTRIES:
        chain = [one for one in (registry, registry.parent) if one is not None]
        for one in chain:
            if name in one.module_dict and scope in ('', one.scope):
                found[registry.name] = one.module_dict[name]
                break
    return found


def _check_typed(
    value: Mapping[str, Any], path: str, siblings: tuple[str, ...]
) -> Iterator[str]:
    """Problems of a dict that has a type, without what is below it."""
    found = find_builders(value['type'])
    if not found:
        known = {
            name
            for registry in REGISTRIES
            if registry.name in siblings
            for one in (registry, registry.parent)
            if one is not None
            for name in one.module_dict
        }
        name = str(value['type']).rpartition('.')[2]
        # Names in lower case may be of what no registry builds, as 'nms' and 'conv'.
        if name[:1].islower():
            return
        if meant := did_you_mean(name, known, SIMILAR_TYPE):
            yield f'{path}.type: {name!r} is not registered; did you mean {meant!r}?'
        return
    unknown: list[tuple[str, str, frozenset[str]]] = []
    for family, builder in found.items():
        arguments = arguments_of(builder)
        if arguments is None:
            return
        taken = ALWAYS_TAKEN_OUT | TAKEN_OUT.get(family, set())
        wrong = [key for key in value if key not in arguments and key not in taken]
        if not wrong:
            return
        # One of several classes of this name would have to take all keys.
        if not unknown or len(wrong) < len(unknown):
            unknown = [(key, builder.__name__, arguments) for key in wrong]
    for key, owner, arguments in unknown:
        yield _unknown(f'{path}.{key}', owner, key, arguments)


def _unknown(path: str, owner: str, key: str, known: Any) -> str:
    meant = did_you_mean(key, known)
    hint = f'did you mean {meant!r}?' if meant else f'it has {", ".join(sorted(known))}'
    return f'{path}: {owner} has no argument {key!r}; {hint}'


@cache
def arguments_of(builder: Callable[..., Any]) -> frozenset[str] | None:
    """Names of the arguments that a class or function takes by keyword.

    Args:
        builder (Callable[..., Any]): It.

    Returns:
        frozenset[str], optional: None if it may take others.
    """
    if not inspect.isclass(builder):
        names, rest = _parameters(builder)
        return None if rest else frozenset(names)
    known: set[str] = set()
    owners = [one for one in inspect.getmro(builder) if '__init__' in vars(one)]
    while owners[0] is not object:
        owner = owners.pop(0)
        names, rest = _parameters(vars(owner)['__init__'])
        known |= names
        if rest is None:
            return frozenset(known - {'self'})
        after = _passed_on_by(vars(owner)['__init__'], rest)
        remaining = [one.__name__ for one in owners]
        if after is None or (after not in remaining and after != owner.__name__):
            # Something else is done with them.
            taker = getattr(builder, 'kwargs_of', None)
            further = None if taker is None else arguments_of(taker)
            return None if further is None else (further | known) - {'self'}
        if after != owner.__name__:
            # super(Base, self) passes Base by.
            del owners[: remaining.index(after) + 1]
    # A class without a constructor, or one that only passes on what it gets.
    return frozenset(known - {'self'}) or None


def _parameters(function: Callable[..., Any]) -> tuple[set[str], str | None]:
    """Names of the parameters; and of ``**kwargs``, '' if nothing is known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set(), ''
    names = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    rest = [item.name for item in parameters if item.kind is item.VAR_KEYWORD]
    return names, rest[0] if rest else None


def _passed_on_by(init: Callable[..., Any], name: str) -> str | None:
    """Of which class ``**name`` goes to the base, where nothing else is done with it.

    Args:
        init (Callable[..., Any]): A constructor.
        name (str): Of its ``**kwargs``.

    Returns:
        str, optional: Its own class in ``super().__init__(**kwargs)``; None if
        something else is done with them, or nothing is known.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return None
    own = init.__qualname__.split('.')[-2]
    uses = {n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name}
    owners = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (owner := _base_of(node.func, own)):
            passed = {word.value for word in node.keywords if word.arg is None}
            if uses & passed:
                owners.add(owner)
                uses -= passed
    return owners.pop() if len(owners) == 1 and not uses else None


def _base_of(function: ast.expr, own: str) -> str | None:
    """The class in ``super(Class, self).__init__``, or its own; None if it is none."""
    if not (isinstance(function, ast.Attribute) and function.attr == '__init__'):
        return None
    call = function.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    if call.func.id != 'super':
        return None
    named = call.args[0] if call.args else None
    return named.id if isinstance(named, ast.Name) else own
