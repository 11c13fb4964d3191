-- What a majority vote over the first *n* samples of the newest finished job would have got, for every *n*, and the tokens
-- it would have generated for a query: where the curve is flat, more samples buy nothing. Without a readable answer a
-- query counts as wrong.
WITH sample AS (
    SELECT c.query_id, c.answer_class, c.correct, c.generated_tokens,
           ROW_NUMBER() OVER (
               PARTITION BY c.query_id ORDER BY CASE WHEN c.path = 'greedy' THEN 0 ELSE 1 END, LENGTH(c.path), c.path
           ) AS number
    FROM candidate c
    JOIN query q ON q.id = c.query_id
    WHERE q.job_id = (SELECT MAX(id) FROM job WHERE state = 'done') AND q.correct IS NOT NULL
      AND (c.path = 'greedy' OR SUBSTR(c.path, 1, 1) BETWEEN '0' AND '9')
), size AS (
    SELECT DISTINCT number AS samples FROM sample
), vote AS (
    SELECT z.samples, s.query_id, s.answer_class, COUNT(*) AS votes, MIN(s.number) AS first_vote,
           MAX(CASE WHEN s.correct THEN 1 ELSE 0 END) AS correct
    FROM size z
    JOIN sample s ON s.number <= z.samples AND s.answer_class >= 0
    GROUP BY z.samples, s.query_id, s.answer_class
), winner AS (
    SELECT samples, query_id, correct,
           ROW_NUMBER() OVER (PARTITION BY samples, query_id ORDER BY votes DESC, first_vote) AS place
    FROM vote
), drawn AS (
    SELECT z.samples, COUNT(DISTINCT s.query_id) AS graded,
           CASE WHEN COUNT(*) = COUNT(s.generated_tokens) THEN 1.0 * SUM(s.generated_tokens) END AS tokens
    FROM size z
    JOIN sample s ON s.number <= z.samples
    GROUP BY z.samples
)
SELECT d.samples, d.graded, COUNT(w.query_id) AS answered, COALESCE(SUM(w.correct), 0) AS correct,
       ROUND(CAST(100.0 * COALESCE(SUM(w.correct), 0) / d.graded AS NUMERIC), 1) AS percent,
       d.tokens / d.graded AS generated_tokens
FROM drawn d
LEFT JOIN winner w ON w.samples = d.samples AND w.place = 1
GROUP BY d.samples, d.graded, d.tokens
ORDER BY d.samples;
