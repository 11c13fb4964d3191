-- Any two jobs on one dataset, problem by problem: whether one is better, or they are right about different problems, of
-- which a choice between the two could get more than either (`either_percent`).
SELECT a.job_id AS a, b.job_id AS b, COUNT(*) AS problems,
       SUM(CASE WHEN a.correct AND b.correct THEN 1 ELSE 0 END) AS both_right,
       SUM(CASE WHEN a.correct AND NOT b.correct THEN 1 ELSE 0 END) AS only_a,
       SUM(CASE WHEN b.correct AND NOT a.correct THEN 1 ELSE 0 END) AS only_b,
       ROUND(CAST(100.0 * SUM(CASE WHEN a.correct OR b.correct THEN 1 ELSE 0 END) / COUNT(*) AS NUMERIC), 1) AS either_percent
FROM query a
JOIN query b ON b.problem_id = a.problem_id AND b.job_id > a.job_id
WHERE a.state = 'done' AND b.state = 'done' AND a.correct IS NOT NULL AND b.correct IS NOT NULL
GROUP BY a.job_id, b.job_id
ORDER BY a.job_id, b.job_id;
