-- How long a query takes, in seconds from when a worker first takes it, and the longest chain of tokens that it waits for:
-- half of the queries, nine in ten and 99 in 100 need at most so much. Samples side by side make an answer dearer, steps
-- behind one another make it later.
WITH placed AS (
    SELECT job_id, seconds, sequential_tokens, COUNT(*) OVER (PARTITION BY job_id) AS queries,
           ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY seconds) AS place,
           ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY sequential_tokens) AS chain_place
    FROM query_cost
    WHERE state = 'done' AND seconds IS NOT NULL
)
SELECT j.id AS job_id, j.name, p.queries,
       MIN(CASE WHEN place >= 0.5 * queries THEN seconds END) AS seconds_50,
       MIN(CASE WHEN place >= 0.9 * queries THEN seconds END) AS seconds_90,
       MIN(CASE WHEN place >= 0.99 * queries THEN seconds END) AS seconds_99,
       MIN(CASE WHEN chain_place >= 0.5 * queries THEN sequential_tokens END) AS chain_50,
       MIN(CASE WHEN chain_place >= 0.99 * queries THEN sequential_tokens END) AS chain_99
FROM placed p
JOIN job j ON j.id = p.job_id
GROUP BY j.id, j.name, p.queries
ORDER BY j.id;
