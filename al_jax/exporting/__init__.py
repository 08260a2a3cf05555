"""Trained models as folders of plain files, and what they predict."""
