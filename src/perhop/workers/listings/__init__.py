"""Homes that can be found: in the worker's own table, or at a RESO Web API."""
