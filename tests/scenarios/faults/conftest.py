"""Ledgers, as tests of delivery have them."""

from __future__ import annotations

from tests.unit.delivery.conftest import ledger, migrated, open_ledger

__all__ = ["ledger", "migrated", "open_ledger"]
