"""Every metric over the commits, from stored records, with its change points marked.

It informs and gates nothing: what it marks was measured in runs of their own, days apart. Needs
the package `ruptures`, the extra ``history``.
"""
