"""Masks and cut-outs of many pictures, written as files."""
