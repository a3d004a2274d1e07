"""Damaged inputs by kind; ``tools/damage_drill.py`` tries them."""
