-- Where the newest finished job is right and what it spends there: by subject, by level and by difficulty bin (0 is the
-- easiest), with Wilson's 95 % interval. It shows what a larger budget should be spent on.
WITH graded AS (
    SELECT p.subject, p.level, c.bin, CASE WHEN c.correct THEN 1.0 ELSE 0.0 END AS is_right, c.total_tokens
    FROM query_cost c
    JOIN problem p ON p.id = c.problem_id
    WHERE c.job_id = (SELECT MAX(id) FROM job WHERE state = 'done') AND c.state = 'done' AND c.correct IS NOT NULL
), kind AS (
    SELECT 'subject' AS kind, subject AS value, is_right, total_tokens FROM graded
    UNION ALL
    SELECT 'level', level, is_right, total_tokens FROM graded
    UNION ALL
    SELECT 'bin', CAST(bin AS TEXT), is_right, total_tokens FROM graded
), share AS (
    SELECT kind, value, COUNT(*) AS graded, AVG(is_right) AS accuracy, 3.8415 / COUNT(*) AS spread,
           CASE WHEN COUNT(*) = COUNT(total_tokens) THEN AVG(total_tokens) END AS tokens
    FROM kind
    WHERE value IS NOT NULL
    GROUP BY kind, value
)
SELECT kind, value, graded, ROUND(CAST(100 * accuracy AS NUMERIC), 1) AS percent,
       ROUND(CAST(100 * (accuracy + spread / 2 - SQRT(spread * accuracy * (1 - accuracy) + spread * spread / 4))
                  / (1 + spread) AS NUMERIC), 1) AS low,
       ROUND(CAST(100 * (accuracy + spread / 2 + SQRT(spread * accuracy * (1 - accuracy) + spread * spread / 4))
                  / (1 + spread) AS NUMERIC), 1) AS high,
       tokens
FROM share
ORDER BY kind, value;
