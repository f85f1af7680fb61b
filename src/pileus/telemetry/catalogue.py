"""Every metric this cloud tells: name, type, unit, meaning. ``docs/metrics.md`` lists the same."""

from __future__ import annotations

from dataclasses import dataclass

# Labels that name what belongs to users: CloudWatch tells of it, here it is summed over.
RESOURCES = frozenset({"account", "region", "table", "index", "bucket", "api"})
# Blocks of counters: what a series of them is called after.
BLOCKS = {"pileus_request": ("requests", "latency"), "pileus_function": ("invocations", "duration")}


@dataclass(frozen=True, slots=True)
class Metric:
    """``kind`` is Prometheus's type. ``each``: told for each process, not summed over them."""

    name: str
    kind: str
    meaning: str
    each: bool = False


METRICS = {
    m.name: m
    for m in (
        Metric("pileus_requests_total", "counter", "Requests answered, by class of status."),
        Metric("pileus_request_duration_seconds", "histogram", "From first byte to the answer."),
        Metric("pileus_response_bytes_total", "counter", "Bytes of answers."),
        Metric("pileus_requests_throttled_total", "counter", "Requests refused for their rate."),
        Metric("pileus_table_read_units_total", "counter", "Read units used."),
        Metric("pileus_table_write_units_total", "counter", "Write units used."),
        Metric("pileus_edge_answers_total", "counter", "Answers of distributions, by result."),
        Metric("pileus_function_invocations_total", "counter", "Invocations, by how they ended."),
        Metric("pileus_function_duration_seconds", "histogram", "How long functions ran."),
        Metric("pileus_function_throttled_total", "counter", "Invocations refused at once."),
        Metric("pileus_function_cold_starts_total", "counter", "Invocations that waited."),
        Metric("pileus_runtime_workers", "gauge", "Workers of functions, by what they do."),
        Metric("pileus_runtime_waiting", "gauge", "Invocations that wait for a worker."),
        Metric("pileus_log_entries_total", "counter", "Entries applied here, ever."),
        Metric("pileus_log_groups_total", "counter", "Groups of entries committed."),
        Metric("pileus_log_busy_seconds_total", "counter", "Time spent committing them."),
        Metric("pileus_log_failures_total", "counter", "Groups that were not committed."),
        Metric("pileus_log_queue", "gauge", "Entries that wait for the next group."),
        Metric("pileus_log_behind", "gauge", "Entries another node has applied and this has not."),
        Metric("pileus_log_copy", "gauge", "1: a current copy of the log is here, 2: it leads."),
        Metric("pileus_log_healed_total", "counter", "Remedies for a log's copy that stood still."),
        Metric("pileus_log_out_of_reach", "gauge", "1: only eventual reads are answered now."),
        Metric("pileus_nodes", "gauge", "Nodes of the cluster, by how they are seen from here."),
        Metric("pileus_node_up", "gauge", "1: the node's numbers are in this answer."),
        Metric("pileus_state_bytes", "gauge", "Files of the state: rows, wal."),
        Metric("pileus_state_tablets", "gauge", "Tablets in the map."),
        Metric("pileus_blobs_checked_bytes_total", "counter", "Read through by the scrub."),
        Metric("pileus_blobs_mended_total", "counter", "Wrong bytes the scrub replaced."),
        Metric("pileus_blobs_fetched_total", "counter", "Copies brought from other nodes."),
        Metric("pileus_blobs_dropped_total", "counter", "Copies that belong elsewhere, let go."),
        Metric("pileus_blobs_missing", "gauge", "Copies that should be here and cannot be had."),
        Metric("pileus_blobs_moved_bytes_total", "counter", "Blobs fetched, or given by a leaver."),
        Metric("pileus_move_blobs_left", "gauge", "Blobs still to move as a node came or went."),
        Metric("pileus_telemetry_bytes", "gauge", "The file of log lines and data points."),
        Metric("pileus_connections", "gauge", "Client connections that are open."),
        Metric("pileus_connections_taken_total", "counter", "Taken over from another process."),
        Metric("pileus_received_bytes_total", "counter", "Bytes that clients sent."),
        Metric("pileus_process_loop_lag_seconds", "gauge", "Worst delay of a second.", True),
        Metric("pileus_process_gc_collections_total", "counter", "Garbage collections.", True),
        Metric("pileus_process_gc_seconds_total", "counter", "Time spent in them.", True),
        Metric("pileus_process_up", "gauge", "1 while a process publishes its counters.", True),
        Metric("pileus_process_start_time_seconds", "gauge", "Since when it runs.", True),
        Metric("pileus_process_cpu_seconds_total", "counter", "CPU time used.", True),
        Metric("pileus_process_resident_bytes", "gauge", "Memory, shared pages in full.", True),
        Metric("pileus_process_proportional_bytes", "gauge", "Memory, shared pages divided.", True),
        Metric("pileus_process_count", "gauge", "Processes of this part.", True),
        Metric("pileus_series", "gauge", "Series written each second."),
        Metric("pileus_machine_cpu_seconds_total", "counter", "CPU time of the machine."),
        Metric("pileus_machine_memory_bytes", "gauge", "Memory of the machine."),
        Metric("pileus_machine_load", "gauge", "Load average of a minute."),
        Metric("pileus_machine_pressure", "gauge", "Share of time somebody waits (10 s)."),
        Metric("pileus_machine_network_bytes_total", "counter", "Bytes through interfaces."),
        Metric("pileus_machine_disk_bytes_total", "counter", "Bytes to and from disks."),
        Metric("pileus_disk_bytes", "gauge", "The file system under the home."),
    )
}
_UNITS = (("_per_second", "1/s"), ("_seconds", "s"), ("_bytes", "bytes"), ("_cores", "cores"))


def unit(metric: str) -> str:
    """The unit of a series' metric, as its name says it."""
    if metric.endswith("_bytes_per_second"):
        return "bytes/s"
    if metric.endswith("_seconds_per_second") or metric.endswith("_pressure"):
        return "share"
    for end, told in _UNITS:
        if metric.endswith(end):
            return told
    return "cores" if "_cores" in metric else ""
