"""Measurements that take minutes, and that no test asks for."""
