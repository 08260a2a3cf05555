"""Files of a run: records, checkpoints, the manifest and the workdir."""
