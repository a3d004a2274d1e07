"""What a finished experiment says: its course, comparisons, findings, patches."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine import (
    Experiment,
    SavedEvaluations,
    experiment_figures,
    load_attack_record,
    load_numbers,
)
from mmdet_facepatch.engine.data_split import image_ids
from mmdet_facepatch.engine.experiment_figures import write_figures
from mmdet_facepatch.engine.published_attacks import take_published
from mmdet_facepatch.evaluation import average_precision, load_report
from mmdet_facepatch.results import (
    Evidence,
    collect,
    judge_findings,
    publish_experiment,
    read_entries,
    results_document,
    write_findings,
)
from mmdet_facepatch.results.checks import paired_difference
from mmdet_facepatch.visualization import plot_f_beta, plot_matrix

DATA = 'same_data'
KEY = 'all/AP'


@pytest.fixture
def evidence(finished):
    return Evidence(finished[1], DATA)


@pytest.fixture(scope='module')
def table(finished):
    return finished[1] / 'tables' / f'experiment_{DATA}' / 'table.json'


class TestCourse:

    def test_attack_leaves_its_course(self, finished):
        _, root = finished
        record = load_attack_record(next((root / 'attack').iterdir()))
        assert [epoch['epoch'] for epoch in record['epochs']] == [1, 2]
        # Three images are left, in batches of two.
        assert [epoch['steps'] for epoch in record['epochs']] == [2, 2]
        for epoch in record['epochs']:
            assert epoch['objective'] is not None and epoch['seconds'] > 0
            assert epoch['held_out']['num_images'] == 1
            assert 0 <= epoch['held_out']['all/recall@0.5'] <= 1
        assert record['held_out_clean']['num_images'] == 1
        assert 0 <= record['held_out_clean']['all/recall@0.5'] <= 1
        assert record['seed'] == 0 and record['versions']['torch'] == torch.__version__

    def test_objective_is_minus_the_logged_loss(self, finished):
        """Of a log line for each epoch, which is the mean over its steps."""
        _, root = finished
        folder = next((root / 'attack').iterdir())
        lines = [json.loads(line) for file in folder.glob('*/vis_data/scalars.json')
                 for line in file.read_text().splitlines()]
        logged = [line['loss_adv'] for line in lines if 'loss_adv' in line]
        record = load_attack_record(folder)
        assert [epoch['objective'] for epoch in record['epochs']] == pytest.approx(
            [-loss for loss in logged], abs=1e-3)

    def test_figures(self, table):
        assert (table.parent / 'convergence.png').is_file()
        assert (table.parent / 'figure.png').is_file()

    @pytest.mark.parametrize(
        'kind', ['pictures', 'ranking', 'f_beta', 'gallery', 'evolution'])
    def test_other_figures(self, finished, experiment_file, tmp_path, kind):
        """From the jobs that are done; nothing is run again."""
        cfg = Config.fromfile(experiment_file)
        cfg.figure = kind
        cfg.dump(tmp_path / 'other.py')
        experiment = Experiment(
            str(tmp_path / 'other.py'), Config(dict(work_dir=None)), finished[1])
        jobs = experiment.finished()
        assert list(jobs) == ['clean', 'noise', 'patch', 'smaller']
        write_figures(experiment, jobs, tmp_path)
        image = next((jobs['clean'].folder / 'pictures').iterdir())
        name = f'figure_{image.name}' if kind == 'pictures' else 'figure.png'
        with Image.open(tmp_path / name) as figure, Image.open(image) as picture:
            assert figure.width > 300
            if kind == 'evolution':
                # The start and both epochs, each once.
                assert 3 * 192 < figure.width < 4 * 192
            if kind == 'pictures':
                # Four cells in rows of three.
                assert figure.width > 3 * picture.width
                assert 2 * picture.height < figure.height < 3 * picture.height

    def test_curves_of_seeds_are_their_mean(self, finished, experiment_file, tmp_path,
                                            monkeypatch):
        """Four cells, of which two are seeds of one: three curves."""
        cfg = Config.fromfile(experiment_file)
        cfg.figure = 'f_beta'
        cfg.dump(tmp_path / 'other.py')
        experiment = Experiment(
            str(tmp_path / 'other.py'), Config(dict(work_dir=None)), finished[1])
        for cell in experiment.all_cells[2:]:
            cell['group'] = 'both'
        drawn = []
        monkeypatch.setattr(
            experiment_figures, 'plot_f_beta',
            lambda *args: drawn.append(args) or plot_f_beta(*args))
        jobs = experiment.finished()
        write_figures(experiment, jobs, tmp_path)
        (_, curves, areas), = drawn
        assert list(curves[0.5]) == list(areas[0.5]) == ['clean', 'noise', 'both']
        one, two = (load_numbers(jobs[name])['all/AF0.5'] for name in (
            'patch', 'smaller'))
        assert one != two
        assert areas[0.5]['both'] == pytest.approx((one + two) / 2)

    def test_matches_are_those_of_the_report(self, finished, table):
        """What ranks are drawn from counts as the report does."""
        cell = json.loads(table.read_text())['cells'][1]
        folder = finished[1] / 'evaluation' / cell['folder'].split('/')[-1]
        pool = SavedEvaluations().matches(folder)
        numbers = load_report(folder / 'report.json')['conditions']['patch']['numbers']
        status = pool.status(np.ones(pool.num_faces, bool))
        counted = pool.scores >= 0.5
        assert pool.num_faces == numbers['all/num_faces']
        assert (status[counted] == 1).sum() == numbers['all/true_positives@0.5']
        assert pool.on_patch[counted].sum() == numbers['all/on_patch@0.5']
        # The detector is hardly trained: below 0.5 there is more to compare.
        assert len(pool.scores) > 0
        assert average_precision(pool.scores, status, pool.num_faces) == pytest.approx(
            numbers['all/AP'])
        assert pool.patch_scores.mean() == pytest.approx(numbers['patch_score_mean'])
        assert pool.patch_scores.max() > 0

    def test_held_out_images_are_not_optimised_on(self, experiment_file, tmp_path):
        experiment = Experiment(str(experiment_file), Config(), tmp_path)
        cfg = experiment.attack_job(experiment.cells[2]).config
        train = image_ids(cfg.train_dataloader.dataset.to_dict())
        held = image_ids(cfg.val_dataloader.dataset.to_dict())
        assert len(train) == 3 and len(held) == 1 and not set(train) & set(held)
        assert all('train' in name for name in [*train, *held])
        assert cfg.train_cfg.val_interval == 1


    @pytest.mark.parametrize('held_out', [0, 1])
    def test_attacks_do_not_share_their_parts(self, experiment_file, attacked, tmp_path,
                                              held_out):
        """The data config serves all of them, and is not changed by any."""
        cfg = Config.fromfile(experiment_file)
        cfg.held_out = held_out
        cfg.cells = [dict(name=str(half), attack=dict(method='iou', half=half))
                     for half in (0, 1)] + [dict(name='all', attack=dict(method='iou'))]
        cfg.dump(tmp_path / 'halves.py')
        attack = Config.fromfile(attacked / 'attack.py')
        data = Config(dict(train_dataloader=attack.train_dataloader.to_dict(),
                           val_dataloader=attack.val_dataloader.to_dict()))
        experiment = Experiment(str(tmp_path / 'halves.py'), data, tmp_path)
        one, two, whole = (
            image_ids(experiment.attack_job(cell).config.train_dataloader.dataset
                      .to_dict()) for cell in experiment.cells)
        assert sorted([*one, *two]) == sorted(whole)
        assert len(whole) == 4 - held_out and not set(one) & set(two)


class TestSeeds:

    def build(self, experiment_file, root, **changes):
        return Experiment(str(experiment_file), Config(), root, **changes)

    def test_cells_multiply(self, experiment_file, tmp_path):
        experiment = self.build(experiment_file, tmp_path, seeds=[0, 5])
        assert [cell['name'] for cell in experiment.cells] == [
            'clean', 'noise', 'patch, seed 0', 'patch, seed 5', 'smaller, seed 0',
            'smaller, seed 5']
        cfg = experiment.attack_job(experiment.cells[3]).config
        assert cfg.randomness.seed == 5
        assert cfg.model.patch.init == dict(type='noise', seed=5)
        experiment.select(['smaller'])
        assert [cell['name'] for cell in experiment.cells] == [
            'smaller, seed 0', 'smaller, seed 5']

    def test_identity(self, experiment_file, tmp_path):
        """Without a seed as ever; the config's own seed is no other attack."""
        plain = self.build(experiment_file, tmp_path)
        seeded = self.build(experiment_file, tmp_path, seeds=[0, 3])
        cell = dict(plain.cells[2], attack=dict(
            method='iou', init=dict(type='noise', seed=0)))
        first = seeded.attack_job(dict(seeded.cells[2], attack=dict(
            cell['attack'], seed=0)))
        assert first.folder == plain.attack_job(cell).folder
        other = seeded.attack_job(dict(seeded.cells[3], attack=dict(
            cell['attack'], seed=3)))
        assert other.folder != first.folder

    def test_bad_seed(self, experiment_file, tmp_path):
        cfg = Config.fromfile(experiment_file)
        cfg.cells = [dict(name='a', attack=dict(method='iou', seed='x'))]
        cfg.dump(tmp_path / 'bad.py')
        with pytest.raises(ValueError, match="'a' has the seed 'x'"):
            self.build(tmp_path / 'bad.py', tmp_path)


class TestComparisons:

    def test_saved_detections_give_the_report_again(self, finished, evidence):
        row, = evidence.rows('experiment', 'patch')
        evaluation = evidence.evaluation(row)
        folder = finished[1] / 'evaluation' / row['folder'].rpartition('/')[2]
        condition, = load_report(folder / 'report.json')['conditions'].values()
        assert condition['numbers'].keys() == evaluation.numbers.keys()
        for key, interval in condition['intervals'].items():
            assert evaluation.intervals[key].low == pytest.approx(
                interval.low, abs=1e-12, nan_ok=True)

    def test_difference(self, evidence):
        """Of equal rows it is zero; of others that of the numbers."""
        patch, = evidence.rows('experiment', 'patch')
        clean, = evidence.rows('experiment', 'clean')
        key = 'all/recall@0.5'
        same = paired_difference(evidence, patch, patch, key)
        assert (same.value, same.interval.low, same.interval.high) == (0, 0, 0)
        other = paired_difference(evidence, patch, clean, key, factor=0.5)
        one, two = (evidence.evaluation(row) for row in (patch, clean))
        assert other.value == one.numbers[key] - 0.5 * two.numbers[key]
        drawn = one.replicates[key] - 0.5 * two.replicates[key]
        assert other.interval.low == pytest.approx(np.quantile(drawn, 0.025))

    def test_other_detections_are_noticed(self, finished, evidence, tmp_path):
        row, = evidence.rows('experiment', 'patch')
        clean, = evidence.rows('experiment', 'clean')
        folders = [finished[1] / 'evaluation' / one['folder'].rpartition('/')[2]
                   for one in (row, clean)]
        copy = tmp_path / 'evaluation'
        shutil.copytree(folders[0], copy)
        (copy / 'predictions' / 'patch.npz').write_bytes(
            (folders[1] / 'predictions' / 'clean.npz').read_bytes())
        with pytest.raises((ValueError, KeyError)):
            SavedEvaluations()(copy)
        (copy / 'predictions' / 'patch.npz').unlink()
        with pytest.raises(FileNotFoundError, match='run the experiment again'):
            SavedEvaluations()(copy)

    def test_unknown_cell(self, evidence):
        with pytest.raises(ValueError, match="no cell 'x'; it has .'clean'"):
            evidence.rows('experiment', 'x')
        assert evidence.rows('not_run', 'x') == []


@pytest.fixture(scope='module')
def findings_config(experiment_file):
    paired = dict(type='PairedCheck', experiment='experiment', number='all/AP')
    Config(dict(title='Findings', findings=[
        dict(key='a', claim='clean is better', checks=[
            dict(paired, statement='patch not above clean', cells='patch',
                 references='clean', expect='not above', margin=2.0),
            dict(paired, statement='itself', cells='patch', references='patch',
                 expect='below'),
            dict(type='SimilarityCheck', statement='alike', experiment='experiment',
                 cells=['patch', 'smaller'])]),
        dict(key='b', claim='order', checks=[
            dict(type='OrderCheck', statement='lowest', experiment='experiment',
                 cells=['clean', 'noise', 'patch'], lowest='patch',
                 number='all/AF0.5')]),
        dict(key='c', claim='more', checks=[
            dict(paired, experiment='not_run', statement='none', cells='x',
                 references='y', expect='below')]),
    ])).dump(experiment_file.parent / 'findings.py')
    return experiment_file.parent / 'findings.py'


class TestFindings:

    def test_verdicts(self, finished, findings_config, tmp_path):
        content = judge_findings(
            str(findings_config), finished[1], DATA, findings_config.parent)
        first, second, third = content['findings']
        assert [check['verdict'] for check in first['checks']] == [
            'agrees', 'does not agree', 'agrees']
        assert first['verdict'] == 'does not agree (2 of 3 checks agree)'
        # The same file twice.
        alike = first['checks'][2]['results'][0]
        assert alike['pixels'] == pytest.approx(1) and alike['coarse'] > alike['chance']
        order = second['checks'][0]['results'][0]['order']
        assert [value for _, value in order] == sorted(value for _, value in order)
        assert third['verdict'] == 'not measured'
        assert list(content['manifest']['tables']) == ['experiment']
        text = write_findings(content, tmp_path)
        assert '| (c) | more | **not measured** |' in text
        assert json.loads((tmp_path / 'findings.json').read_text()) == content


class TestPublished:

    def test_an_experiment(self, finished, table, tmp_path):
        _, root = finished
        written = publish_experiment(table, root, tmp_path / 'out', table.parents[2])
        # Two cells, one attack.
        assert [path.name for path in written] == ['patch.png', 'patch.npy',
                                                   'patch.json']
        attack = next((root / 'attack').iterdir())
        assert torch.equal(load_patch(written[1]), load_patch(attack / 'patch.npy'))
        text = written[2].read_text()
        manifest = json.loads(text)
        assert manifest['files']['.npy'] == hashlib.sha256(
            written[1].read_bytes()).hexdigest()
        assert manifest['steps'] == 4 and manifest['seed'] == 0
        assert len(manifest['detector']['weights_sha256']) == 64
        assert manifest['data']['images'] == 3
        assert 'all/AP' in manifest['report']['numbers']
        assert manifest['command'].endswith('--cells patch')
        assert str(table.parents[3]) not in text

    def test_another_patch_is_refused(self, finished, table, tmp_path):
        png, npy, manifest = publish_experiment(
            table, finished[1], tmp_path, table.parents[2])
        npy.write_bytes(npy.read_bytes()[:-1] + b'\0')
        with pytest.raises(ValueError, match='damaged or another patch'):
            load_patch(npy)
        load_patch(png)
        manifest.write_text('{"kind": "patch"}')
        with pytest.raises(ValueError, match='needs "files"'):
            load_patch(png)
        manifest.write_text('{')
        with pytest.raises(ValueError, match='not readable as JSON'):
            load_patch(png)
        # Other people's JSON is none of ours.
        manifest.write_text('{"files": 1}')
        load_patch(png)

    def test_tool(self, finished, run, tmp_path):
        attack = next((finished[1] / 'attack').iterdir())
        done = run('publish_patch.py', attack, tmp_path / 'mine')
        assert done.returncode == 0, done.stderr
        manifest = json.loads((tmp_path / 'mine.json').read_text())
        assert manifest['command'] == 'python tools/attack.py job.py'
        assert manifest['report'] is None


class TestTakenPatches:
    """Published patches in place of their attacks."""

    @pytest.fixture
    def published(self, finished, table, tmp_path):
        publish_experiment(table, finished[1], tmp_path / 'out', table.parents[2])
        return tmp_path / 'out'

    @pytest.fixture
    def jobs(self, experiment_file, tmp_path):
        experiment = Experiment(
            str(experiment_file), Config(dict(work_dir=None)), tmp_path / 'new')
        return experiment.first_jobs()

    def test_gives_the_same_table(self, finished, table, published, experiment_file,
                                  run, tmp_path):
        """Elsewhere, without its attack; and it can be published again."""
        done = run('experiment.py', experiment_file, '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir',
                   tmp_path / 'new', '--published', published)
        assert done.returncode == 0, done.stdout + done.stderr
        assert 'published iou sln ' in done.stdout
        assert '\nattack ' not in done.stdout
        new = tmp_path / 'new' / 'tables' / table.parent.name / 'table.json'
        one, two = (json.loads(path.read_text())['cells'] for path in (table, new))
        for row, other in zip(one, two, strict=True):
            assert row['name'] == other['name']
            assert row['numbers'] == other['numbers']
            if row['attack_folder']:
                assert row['manifest']['attack'] == other['manifest']['attack']
        assert (new.parent / 'convergence.png').read_bytes() == (
            table.parent / 'convergence.png').read_bytes()
        publish_experiment(new, tmp_path / 'new', tmp_path / 'again', tmp_path)
        first, second = (json.loads((folder / 'patch.json').read_text())
                         for folder in (published, tmp_path / 'again'))
        # The paths of this test differ.
        for key in ('job', 'files', 'steps', 'seconds', 'versions', 'convergence',
                    'data', 'config_digest', 'report'):
            assert first[key] == second[key], key

    def test_rows_that_are_kept(self, table, published, experiment_file, run,
                                tmp_path):
        """With them, too, nothing is run; the table is that of the other machine."""
        cfg = Config.fromfile(experiment_file)
        cfg.figure = 'gallery'
        kept = tmp_path / 'kept' / f'small_{DATA}'
        kept.mkdir(parents=True)
        shutil.copy(table, kept)
        cfg.dump(tmp_path / 'small.py')
        done = run('experiment.py', tmp_path / 'small.py', '--data',
                   experiment_file.parent / f'{DATA}.py', '--work-dir',
                   tmp_path / 'new', '--published', published, '--kept',
                   tmp_path / 'kept')
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (tmp_path / 'new' / 'evaluation').exists()
        new = tmp_path / 'new' / 'tables' / f'small_{DATA}' / 'table.json'
        first, second = (json.loads(path.read_text())['cells'] for path in (table, new))
        for row in (*first, *second):
            for key in ('folder', 'attack_folder'):
                row[key] = row[key] and row[key].rpartition('/')[2]
        assert first == second
        assert (new.parent / 'figure.png').is_file()

    def test_other_rows_are_run(self, table, published, experiment_file, tmp_path):
        """Of another patch, of clean images in other sizes; of this machine."""
        def build(root, **options):
            cfg = Config.fromfile(experiment_file)
            cfg.figure = None
            cfg.dump(tmp_path / 'small.py')
            experiment = Experiment(str(tmp_path / 'small.py'),
                                    Config(dict(work_dir=None)), root, options)
            experiment.keep(table)
            return experiment

        experiment = build(tmp_path / 'new')
        assert [job.kind for job in experiment.first_jobs()] == ['attack']
        assert list(experiment.kept_rows()) == ['clean', 'noise']
        take_published(experiment.first_jobs(), published)
        assert experiment.ready_evaluations() == []
        assert list(experiment.kept_rows()) == ['clean', 'noise', 'patch', 'smaller']
        attack, = experiment.first_jobs()
        np.save(attack.folder / 'patch.npy', np.zeros((3, 16, 16), np.float32))
        assert [job.name for job in experiment.ready_evaluations()] == [
            'patch', 'smaller']
        other = build(tmp_path / 'other', **{'test_evaluator.bootstrap': 7})
        assert len(other.first_jobs()) == 2 and not other.kept_rows()
        here = build(table.parents[2])
        assert len(here.finished()) == 4 and not here.kept_rows()

    def test_matrix_of_kept_rows(self, table, experiment_file, tmp_path, monkeypatch):
        """Its heat map shows them."""
        drawn = []
        monkeypatch.setattr(
            experiment_figures, 'plot_matrix',
            lambda *args: drawn.append(args) or plot_matrix(*args))
        cfg = Config.fromfile(experiment_file)
        noise = cfg.pop('cells')[1].patch
        cfg.figure = None
        cfg.matrix = dict(detectors=['sln'], patches=dict(
            clean=dict(), noise=dict(patch=noise), grey=dict(
                patch=dict(type='constant', value=0.5))))
        cfg.dump(tmp_path / 'matrix.py')
        experiment = Experiment(
            str(tmp_path / 'matrix.py'), Config(dict(work_dir=None)), tmp_path / 'new')
        write_figures(experiment, {}, tmp_path)
        # Neither here nor kept: there is nothing to draw.
        assert drawn == []
        content = json.loads(table.read_text())
        # No threshold reaches the precision on so few images.
        assert content['cells'][0]['numbers']['all/recall@calibrated'] is None
        content['cells'][1]['numbers']['all/recall@calibrated'] = 0.25
        (tmp_path / 'table.json').write_text(json.dumps(content))
        experiment.keep(tmp_path / 'table.json')
        write_figures(experiment, {}, tmp_path)
        (values, patches, detectors, *_), = drawn
        assert (patches, detectors) == (['clean', 'grey', 'noise'], ['sln'])
        np.testing.assert_array_equal(values, [[np.nan], [np.nan], [25]])

    def test_curves_are_not_kept(self, table, experiment_file, tmp_path):
        cfg = Config.fromfile(experiment_file)
        cfg.figure = 'f_beta'
        cfg.dump(tmp_path / 'curves.py')
        experiment = Experiment(str(tmp_path / 'curves.py'), Config(), tmp_path)
        with pytest.raises(ValueError, match='run it without --kept'):
            experiment.keep(table)
        plain = Experiment(str(experiment_file), Config(), tmp_path)
        with pytest.raises(FileNotFoundError, match='no kept rows'):
            plain.keep(tmp_path / 'table.json')

    def test_only_of_the_same_content(self, published, jobs, experiment_file,
                                      tmp_path):
        longer = Experiment(
            str(experiment_file), Config(dict(work_dir=None)), tmp_path / 'new',
            {'train_cfg.max_epochs': 3})
        assert take_published(longer.first_jobs(), published) == []
        clean, attack = jobs
        assert take_published([clean, attack], published) == [attack]
        assert attack.done and not clean.done
        assert take_published([clean, attack], published) == []

    @pytest.mark.parametrize('name', ['patch.png', 'patch.npy'])
    def test_damaged_patch(self, published, jobs, name):
        file = published / name
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(ValueError, match='damaged or another patch'):
            take_published(jobs, published)
        assert not any(job.done or job.folder.exists() for job in jobs)

    def test_damaged_manifest(self, published, jobs):
        path = published / 'patch.json'
        manifest = json.loads(path.read_text())
        del manifest['convergence']['epochs']
        path.write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match="patch.json: .* needs 'epochs'"):
            take_published(jobs, published)
        del manifest['job']
        path.write_text(json.dumps(manifest))
        with pytest.raises(FileNotFoundError, match=r'publish_patch\.py --experiment'):
            take_published(jobs, published)

    def test_two_of_one_attack(self, published, jobs):
        shutil.copy(published / 'patch.json', published / 'twin.json')
        with pytest.raises(ValueError, match='same attack'):
            take_published(jobs, published)


def change_cell(kept, change):
    """Rewrite the table with another last cell."""
    path = kept / f'experiment_{DATA}' / 'table.json'
    table = json.loads(path.read_text())
    change(table['cells'][2])
    path.write_text(json.dumps(table))


class TestKeptFindings:
    """Checks of runs that are on another machine."""

    @pytest.fixture
    def elsewhere(self, finished, findings_config, tmp_path):
        """What the findings were, and a folder with that and the table only."""
        content = judge_findings(str(findings_config), finished[1], DATA, finished[1])
        kept = tmp_path / 'kept'
        write_findings(content, kept / f'{findings_config.stem}_{DATA}')
        name = f'experiment_{DATA}'
        shutil.copytree(finished[1] / 'tables' / name, kept / name)
        return content, kept, tmp_path / 'empty'

    def test_results_stay(self, elsewhere, findings_config):
        content, kept, empty = elsewhere
        again = judge_findings(str(findings_config), empty, DATA, empty, kept)
        assert again['findings'] == content['findings']
        assert again['manifest']['tables'] == content['manifest']['tables']

    def test_last_bits(self, elsewhere, findings_config):
        """Two machines give equal numbers from boxes that are not quite equal."""
        content, kept, empty = elsewhere

        def other_machine(cell):
            cell['manifest']['evaluation']['predictions'] = 64 * '0'
            cell['numbers'][KEY] = np.nextafter(cell['numbers'][KEY], np.inf)

        change_cell(kept, other_machine)
        again = judge_findings(str(findings_config), empty, DATA, empty, kept)
        assert again['findings'] == content['findings']

    @pytest.mark.parametrize('change', [
        lambda cell: cell['numbers'].update({KEY: cell['numbers'][KEY] + 1e-6}),
        lambda cell: cell['intervals'].update({KEY: None}),
        lambda cell: cell['manifest']['attack'].update(patch=64 * '0'),
    ], ids=['number', 'interval', 'patch'])
    def test_not_of_other_runs(self, elsewhere, findings_config, change):
        _, kept, empty = elsewhere
        change_cell(kept, change)
        with pytest.raises(FileNotFoundError, match='not on this machine.*no earlier'):
            judge_findings(str(findings_config), empty, DATA, empty, kept)

    def test_not_of_another_check(self, elsewhere, findings_config, tmp_path):
        _, kept, empty = elsewhere
        cfg = Config.fromfile(findings_config)
        cfg.findings[0].checks[0].factor = 0.25
        other = tmp_path / findings_config.name
        cfg.dump(other)
        with pytest.raises(FileNotFoundError, match='not on this machine.*no earlier'):
            judge_findings(str(other), empty, DATA, empty, kept)


class TestResults:

    def test_document(self, finished, findings_config, tmp_path):
        """From the work dir, then from what was kept alone: the same bytes."""
        _, root = finished
        kept = tmp_path / '.results'
        found = [entry for entry in read_entries(root / 'tables')
                 if entry.name == f'experiment_{DATA}']
        collect(found, kept, root)
        first = results_document(read_entries(kept), root, tmp_path)
        collect(found, kept, root)
        assert results_document(read_entries(kept), root, tmp_path) == first
        assert '## A small table' in first
        assert '| clean | 99.4/22.5 |' in first
        assert f'![A small table: figure](.results/experiment_{DATA}/figure.png)' in (
            first)
        assert 'Reported on: 3 images with 6 faces of `wider_face_val_bbx_gt.txt`' in (
            first)
        assert 'Detectors sln trained on: 4 images' in first
        assert 'Attacks: 1; steps 4 of 2 images;' in first
        assert str(root) not in first
