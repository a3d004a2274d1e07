# Training and evaluation of detectors.
_base_ = 'default_runtime.py'

# report.json, report.md, curves.npz and plots of tools/test.py.
custom_hooks = [dict(type='ReportHook')]
