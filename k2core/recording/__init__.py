"""Raw capture: frames as they came, in files that outlive every change of a normalizer, and the way back."""

from __future__ import annotations
