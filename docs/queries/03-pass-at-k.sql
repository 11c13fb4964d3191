-- pass@*k* of the newest finished job: how often at least one of *k* samples is right, 1 - C(n - c, k) / C(n, k) of the *n*
-- samples of a query of which *c* are right, up to the *n* that every query has. It is what a perfect verifier would get:
-- far above the votes, choosing better pays; level with them, only another generator helps.
WITH RECURSIVE counted AS (
    SELECT q.id, COUNT(*) AS n, SUM(CASE WHEN c.correct THEN 1 ELSE 0 END) AS hits
    FROM query q
    JOIN candidate c ON c.query_id = q.id
    WHERE q.job_id = (SELECT MAX(id) FROM job WHERE state = 'done') AND q.correct IS NOT NULL
      AND SUBSTR(c.path, 1, 1) BETWEEN '0' AND '9'  -- drawn at the job's temperature: not greedy, no steps, no revisions
    GROUP BY q.id
), chance AS (
    SELECT id, n, hits, 1 AS k, CAST(n - hits AS DOUBLE PRECISION) / n AS none_right
    FROM counted
    UNION ALL
    SELECT id, n, hits, k + 1,
           CASE WHEN n - hits > k THEN none_right * CAST(n - hits - k AS DOUBLE PRECISION) / (n - k)
                ELSE CAST(0 AS DOUBLE PRECISION) END
    FROM chance
    WHERE k < (SELECT MIN(n) FROM counted)
)
SELECT k, COUNT(*) AS graded, ROUND(CAST(100 * AVG(1 - none_right) AS NUMERIC), 1) AS pass_percent
FROM chance
GROUP BY k
ORDER BY k;
