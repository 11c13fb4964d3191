-- Whether generator or verifier limits a job: what one sample gets, what the choice among them gets, and what a perfect
-- choice would. `selection_efficiency` is the part of the way from the first to the last that the choice makes; at 0 it
-- is no better than a sample taken at random, below it is worse.
WITH chosen AS (
    SELECT q.job_id, q.id, COUNT(*) AS samples, MAX(CASE WHEN q.correct THEN 1.0 ELSE 0.0 END) AS answer,
           AVG(CASE WHEN c.correct THEN 1.0 ELSE 0.0 END) AS one, MAX(CASE WHEN c.correct THEN 1.0 ELSE 0.0 END) AS best
    FROM query q
    JOIN candidate c ON c.query_id = q.id AND c.finish_reason <> 'step'
    WHERE q.state = 'done' AND q.correct IS NOT NULL
    GROUP BY q.job_id, q.id
)
SELECT j.id AS job_id, j.name, j.strategy, j.verifier, COUNT(*) AS graded, AVG(1.0 * samples) AS samples,
       ROUND(CAST(100 * AVG(one) AS NUMERIC), 1) AS pass_at_1, ROUND(CAST(100 * AVG(answer) AS NUMERIC), 1) AS percent,
       ROUND(CAST(100 * AVG(best) AS NUMERIC), 1) AS pass_at_n,
       ROUND(CAST(CASE WHEN AVG(best) > AVG(one) THEN (AVG(answer) - AVG(one)) / (AVG(best) - AVG(one)) END AS NUMERIC), 3)
           AS selection_efficiency
FROM chosen c
JOIN job j ON j.id = c.job_id
GROUP BY j.id, j.name, j.strategy, j.verifier
ORDER BY j.id;
