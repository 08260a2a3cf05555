from al_jax.reporting import sheets
from tests.factories import a_record
from tests.reporting.report_runs import an_experiment


def test_the_newest_sheets_of_the_first_seed_are_shown(tmp_path):
  experiment = an_experiment(tmp_path / 'run', [a_record('bgadl')])
  assert sheets.parts(experiment) == {}
  folder = tmp_path / 'run' / 'pictures'
  folder.mkdir()
  for name in (
    'bgadl_seed3_round2_asked_sheet.png',
    'bgadl_seed3_round10_asked_sheet.png',
    'bgadl_seed3_round9_generated_sheet.png',
    'bgadl_seed12_round11_asked_sheet.png',
    'mine.py+x_seed0_round0_sheet.png',
    'something_else.png',
  ):
    (folder / name).touch()
  (folder / 'a_seed0_round0_sheet.png').symlink_to(folder / 'x.png')
  (images,) = sheets.parts(experiment).values()
  assert [image.caption for image in images] == [
    'bgadl, seed 3, round 10: asked sheet.',
    'bgadl, seed 3, round 9: generated sheet.',
    'py+x, seed 0, round 0: sheet.',
  ]
  assert images[0].path.name == 'bgadl_seed3_round10_asked_sheet.png'
