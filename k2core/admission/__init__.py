"""Admission: what of the log becomes a row. One code for the writer and for every tail.

`admit` turns blocks into rows and dead records; `joined` decodes, `checks` judges, `identities` makes the columns that
dedup compares; `enrichment` runs enrichers; `dead_letters` is the way of refused records into their topic; `holes`
counts ids that are absent.
"""

from k2core.admission.admit import Admission, Admitted, DeadRecord, Part

__all__ = ["Admission", "Admitted", "DeadRecord", "Part"]
