"""Lessons: what a lab needs beyond its method, in one folder for each paper."""
