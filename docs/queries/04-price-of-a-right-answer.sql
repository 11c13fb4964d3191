-- What one more right answer costs: each job against the one that needed the fewest tokens on the same dataset, over the
-- problems that are graded in both. NULL where the job gets no more of them right, or where a cost is unknown.
WITH graded AS (
    SELECT j.id AS job_id, j.dataset_id, c.problem_id, CASE WHEN c.correct THEN 1 ELSE 0 END AS is_right,
           c.total_tokens, c.flops_canonical, c.dollars
    FROM query_cost c
    JOIN job j ON j.id = c.job_id
    WHERE j.state = 'done' AND c.state = 'done' AND c.correct IS NOT NULL
), base AS (
    SELECT job_id, dataset_id, ROW_NUMBER() OVER (PARTITION BY dataset_id ORDER BY AVG(total_tokens), job_id) AS place
    FROM graded
    GROUP BY job_id, dataset_id
    HAVING COUNT(*) = COUNT(total_tokens)
), paired AS (
    SELECT a.job_id, a.dataset_id, b.job_id AS base_id, COUNT(*) AS problems, SUM(a.is_right - b.is_right) AS more_right,
           CASE WHEN COUNT(*) = COUNT(a.total_tokens) THEN 1.0 * SUM(a.total_tokens - b.total_tokens) END AS tokens,
           CASE WHEN COUNT(*) = COUNT(a.flops_canonical - b.flops_canonical)
                THEN SUM(a.flops_canonical - b.flops_canonical) END AS flops,
           CASE WHEN COUNT(*) = COUNT(a.dollars - b.dollars) THEN SUM(a.dollars - b.dollars) END AS dollars
    FROM graded a
    JOIN base ON base.dataset_id = a.dataset_id AND base.place = 1 AND base.job_id <> a.job_id
    JOIN graded b ON b.job_id = base.job_id AND b.problem_id = a.problem_id
    GROUP BY a.job_id, a.dataset_id, b.job_id
)
SELECT d.name AS dataset, j.name, base.name AS against, p.problems, p.more_right,
       CASE WHEN p.more_right > 0 THEN p.tokens / p.more_right END AS tokens_each,
       CASE WHEN p.more_right > 0 THEN p.flops / p.more_right END AS flops_each,
       CASE WHEN p.more_right > 0 THEN p.dollars / p.more_right END AS dollars_each
FROM paired p
JOIN dataset d ON d.id = p.dataset_id
JOIN job j ON j.id = p.job_id
JOIN job base ON base.id = p.base_id
ORDER BY d.name, p.tokens, p.job_id;
