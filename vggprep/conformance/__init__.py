"""Judging an implementation: the engine, exploration, ledgers, diagnoses, and reports for people and programs."""
