-- What each job got for what it cost: its accuracy with Wilson's 95 % interval, and the mean cost of a query. Jobs on one
-- dataset can be compared; canonical FLOPs are the fair measure between models, `sequential_tokens` what an answer waits for.
WITH share AS (
    SELECT c.*, 3.8415 / graded AS spread  -- 1.96 squared, by the number of graded queries
    FROM cost_accuracy c
    WHERE state = 'done' AND graded > 0
), bound AS (
    SELECT s.*, (accuracy + spread / 2) / (1 + spread) AS middle,
           SQRT(spread * accuracy * (1 - accuracy) + spread * spread / 4) / (1 + spread) AS half
    FROM share s
)
SELECT dataset, name, generator, verifier, strategy, budget, oracle, graded,
       ROUND(CAST(100 * accuracy AS NUMERIC), 1) AS percent,
       ROUND(CAST(100 * (middle - half) AS NUMERIC), 1) AS low, ROUND(CAST(100 * (middle + half) AS NUMERIC), 1) AS high,
       1.0 * total_tokens / queries AS tokens, 1.0 * sequential_tokens / queries AS sequential_tokens,
       flops_canonical / queries AS flops, dollars / queries AS dollars
FROM bound
ORDER BY dataset, total_tokens, job_id;
