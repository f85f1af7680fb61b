"""Whole tables on the move: history, snapshots, and the jobs that copy, restore, export, import."""
