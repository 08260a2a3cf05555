"""What a run keeps on disk: records, checkpoints, a manifest, a folder."""
