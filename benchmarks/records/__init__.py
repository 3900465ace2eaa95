"""The record and the folder that it lies in: lines, digests, appending, reading, who may write."""
