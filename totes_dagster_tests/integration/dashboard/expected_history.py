"""What the page of history must answer, from the states that the source was in."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from totes_dagster_tests.integration.dashboard.chosen import Answer, Chosen, added, grouped
from totes_dagster_tests.integration.metrics.expected import Row

MOST_OF_HISTORY = 300
"""How many batches are shown."""


def _versions(chosen: Chosen) -> list[dict[str, Any]]:
    """Every version of sales orders, each with the one before, in the order of batches."""
    versions: list[dict[str, Any]] = []
    newest: dict[int, dict[str, Any]] = {}
    states = chosen.facts.sales_orders
    last = {key: row for _, state in states for key, row in state.items()}
    departments = {row["staff_id"]: row["department"] for row in last.values()}
    countries = {row["location_id"]: row["delivered_to"] for row in last.values()}
    for batch, state in states:
        for key in sorted({*newest, *state}):
            before, row = newest.get(key), state.get(key)
            if row is None:
                if before is None or before["is_deleted"]:
                    continue
                values = before["values"]
            else:
                values = row
            # The names of what a version refers to are the latest ones.
            named = {
                **values,
                "department": departments[values["staff_id"]],
                "delivered_to": countries[values["location_id"]],
            }
            if before is not None and row is not None and not before["is_deleted"] and _is_same(row, before["values"]):
                continue
            money = (
                named["amount"]
                if chosen.filters.currency
                else chosen.facts.in_pounds(named["amount"], named["currency"], named["created"])
            )
            version = {
                "batch": batch,
                "before": before,
                "values": named,
                "is_deleted": row is None,
                "matches": chosen.has(named, "created", "delivered_to"),
                "money": money,
            }
            newest[key] = version
            versions.append(version)
    return versions


def _is_same(row: Row, before: Row) -> bool:
    """Whether an order is as it was: what its references are called is no part of it."""
    return all(row[name] == before[name] for name in row.keys() - {"department", "delivered_to", "customer"})


def _moments(chosen: Chosen) -> dict[int, datetime]:
    return dict(chosen.world.ask("select batch, snapshot_at from load_history"))


def _history_headline(chosen: Chosen) -> Answer:
    versions = [version for version in _versions(chosen) if version["matches"]]
    return [
        {
            "versions": len(versions),
            "orders": len({version["values"]["id"] for version in versions}),
            "corrections": sum(each["before"] is not None and not each["is_deleted"] for each in versions),
            "deletions": sum(each["is_deleted"] for each in versions),
            "came_back": sum(_came_back(each) for each in versions),
            "unconverted": sum(each["money"] is None for each in versions),
        }
    ]


def _corrections(chosen: Chosen) -> Answer:
    moments = _moments(chosen)
    later = [each for each in _versions(chosen) if each["matches"] and each["before"]]

    def changed(versions: list[Row], name: str) -> int:
        return sum(each["values"][name] != each["before"]["values"][name] for each in versions)

    return [
        {
            "day": day,
            "quantity": changed(versions, "units"),
            "price": changed(versions, "price"),
            "delivery_date": changed(versions, "agreed"),
            "delivery_address": changed(versions, "location_id"),
            "seller": changed(versions, "staff_id"),
            "deleted": sum(each["is_deleted"] for each in versions),
            "came_back": sum(_came_back(each) for each in versions),
        }
        for day, versions in sorted(grouped(later, lambda each: moments[each["batch"]].date()).items())
    ]


def _as_known(chosen: Chosen) -> Answer:
    moments, answer = _moments(chosen), []
    current: dict[int, Row] = {}
    for batch, versions in sorted(grouped(_versions(chosen), lambda each: each["batch"]).items()):
        before, touched = dict(current), []
        for version in versions:
            key = version["values"]["id"]
            current.pop(key, None)
            if version["matches"] and not version["is_deleted"]:
                current[key] = version
            if version["matches"] or (version["before"] and version["before"]["matches"]):
                touched.append(key)
        if not touched:
            continue
        gone, come = ([state[key] for key in touched if key in state] for state in (before, current))
        amounts = [each["money"] for each in (*gone, *come)]
        has_money = not amounts or any(amount is not None for amount in amounts)
        change = sum(each["money"] or 0 for each in come) - sum(each["money"] or 0 for each in gone)
        answer.append(
            {
                "batch": batch,
                "snapshot_at": moments[batch],
                "orders": len(current),
                "units": sum(each["values"]["units"] for each in current.values()),
                "net_sales": added(each["money"] for each in current.values()),
                "change": change if has_money else None,
                "unconverted": sum(each["money"] is None for each in current.values()),
            }
        )
    return answer[-MOST_OF_HISTORY:]


def _deleted(chosen: Chosen) -> Answer:
    moments = _moments(chosen)
    deleted = [each for each in _versions(chosen) if each["is_deleted"] and each["matches"]]
    return [
        {
            "sales_order_id": each["values"]["id"],
            "created_date": each["values"]["created"],
            "snapshot_at": moments[each["batch"]],
            "batch": each["batch"],
            "counterparty_legal_name": each["values"]["customer"],
            "units_sold": each["values"]["units"],
            "amount": each["values"]["amount"],
            "currency_code": each["values"]["currency"],
        }
        for each in sorted(deleted, key=lambda each: (-each["batch"], each["values"]["id"]))
    ]


def _came_back(version: Row) -> bool:
    return bool(version["before"]) and version["before"]["is_deleted"] and not version["is_deleted"]


ANSWERS: Mapping[str, Callable[[Chosen], Answer]] = {
    "headline": _history_headline,
    "corrections": _corrections,
    "as-known": _as_known,
    "deletions": _deleted,
}
"""By the names of the questions."""
