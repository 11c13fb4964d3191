-- Where the tokens went: each job's by phase, model and what became of them, with their share of all it used. Discarded
-- branches and wasted attempts bought nothing; reused work was paid by another job. NULL where a part is unknown.
WITH spent AS (
    SELECT job_id, phase, model, disposition, reused, SUM(calls) AS calls,
           CASE WHEN COUNT(*) = COUNT(canonical_prompt_tokens + generated_tokens + scored_tokens)
                THEN SUM(canonical_prompt_tokens + generated_tokens + scored_tokens) END AS tokens,
           CASE WHEN COUNT(*) = COUNT(flops) THEN SUM(flops) END AS flops,
           CASE WHEN COUNT(*) = COUNT(gpu_seconds) THEN SUM(gpu_seconds) END AS gpu_seconds,
           CASE WHEN COUNT(*) = COUNT(dollars) THEN SUM(dollars) END AS dollars,
           MAX(CASE WHEN at_least THEN 1 ELSE 0 END) AS at_least
    FROM usage
    WHERE job_id IS NOT NULL
    GROUP BY job_id, phase, model, disposition, reused
)
SELECT j.id AS job_id, j.name, s.phase, s.model, s.disposition, s.reused, s.calls, s.tokens,
       ROUND(CAST(100.0 * s.tokens / NULLIF(CASE WHEN COUNT(*) OVER job = COUNT(s.tokens) OVER job
                                            THEN SUM(s.tokens) OVER job END, 0) AS NUMERIC), 1) AS percent,
       s.flops, s.gpu_seconds, s.dollars, s.at_least
FROM spent s
JOIN job j ON j.id = s.job_id
WINDOW job AS (PARTITION BY s.job_id)
ORDER BY j.id, s.tokens DESC, s.phase, s.disposition;
