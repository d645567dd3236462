"""Readers of archives, folders and tables that data sets share."""
