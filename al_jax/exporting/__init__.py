"""Exports trained models as folders of plain files, and predicts with them."""
