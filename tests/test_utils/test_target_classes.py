"""The target by name, among the classes of data and detector."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_facepatch.utils.target_classes import check_same, class_labels, split_target

NAMES = ('person', 'face', 'hand')


def labels(target, classes=NAMES, count=None):
    return class_labels(target, classes, count, 'the detector')


@given(st.data())
def test_names_and_indices_give_the_same_labels(data):
    names = data.draw(st.lists(st.text(min_size=1), min_size=1, unique=True))
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    expected = tuple(sorted(names.index(name) for name in chosen))
    assert labels(chosen, names) == expected
    assert labels([names.index(name) for name in chosen], names) == expected


def test_one_class_needs_no_target():
    assert labels(None, ('face',)) == labels(None, None, 1) == (0,)
    # Black boxes do not say their class.
    assert labels('face', None, 1) == labels('face', None, None) == (0,)


@pytest.mark.parametrize(
    'target, classes, count, message',
    [
        (None, NAMES, None, r"has 3 classes \('person', 'face', 'hand'\): say which"),
        (None, None, 80, 'has 80 classes: say which of them'),
        ('Face', NAMES, None, "target 'Face': the detector .* did you mean 'face'"),
        ('cat', NAMES, None, "'hand'\\).* Where data and detector have other names"),
        (['face', 'cat'], NAMES, None, "target 'cat'"),
        (3, NAMES, None, 'target 3: the detector has 3 classes .*, counted from 0'),
        (-1, NAMES, None, 'target -1'),
        # The names of COCO, which a config inherits, are not those of its head.
        ('face', NAMES, 2, 'names of the 2 classes of the detector are not known'),
    ],
)
def test_a_target_that_is_not_there(target, classes, count, message):
    with pytest.raises(ValueError, match=message):
        labels(target, classes, count)


def test_sides_with_other_names():
    assert split_target('face') == ('face', 'face')
    assert split_target(None) == (None, None)
    target = dict(data='Face', detector=['face', 'mask'])
    assert split_target(target) == ('Face', ['face', 'mask'])


@pytest.mark.parametrize(
    'target, message',
    [
        (dict(data='face'), 'keys data and detector'),
        (dict(data='face', detector='face', more=1), 'keys data and detector'),
        ([], 'must be a class'),
        (dict(data=[], detector='face'), 'must be a class'),
        (0.5, 'must be a class|not iterable'),
    ],
)
def test_no_target_at_all(target, message):
    with pytest.raises((ValueError, TypeError), match=message):
        split_target(target)


def test_only_classes_of_other_names_are_no_match_without_a_target():
    check_same(('face',), ('face',), 'the detector')
    check_same(None, ('face',), 'the detector')
    check_same(('face',), None, 'the detector')
    with pytest.raises(ValueError, match=r"target=dict\(data='Face', detector='face'"):
        check_same(('Face',), ('face',), 'the detector')
