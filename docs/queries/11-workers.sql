-- Whether the workers get anywhere: what each has done and has in hand, since when it holds the oldest of it, and how much
-- of the time for which it holds an engine that engine is busy. Much idle time on a rented GPU is money.
SELECT w.id, w.generator, w.slots, w.in_flight, w.completed, w.progress_at, MIN(a.started_at) AS oldest, w.seen_at,
       ROUND(CAST(100 * w.busy_seconds / NULLIF(w.busy_seconds + w.idle_seconds, 0) AS NUMERIC), 1) AS busy_percent
FROM worker w
LEFT JOIN attempt a ON a.worker_id = w.id AND a.state = 'running'
WHERE w.stopped_at IS NULL AND w.kind = 'worker'
GROUP BY w.id, w.generator, w.slots, w.in_flight, w.completed, w.progress_at, w.seen_at, w.busy_seconds, w.idle_seconds
ORDER BY oldest;
