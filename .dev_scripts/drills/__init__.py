"""Damaged inputs by kind; ``.dev_scripts/damage_drill.py`` tries them."""
