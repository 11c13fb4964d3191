-- The problems that they disagree about, with what each said; `tts-jobs show JOB KEY` draws how it came to that.
SELECT p.key, a.job_id AS right_in, b.job_id AS wrong_in, b.answer AS wrong_answer, p.answer AS reference,
       a.votes AS votes_right, b.votes AS votes_wrong
FROM query a
JOIN query b ON b.problem_id = a.problem_id AND b.job_id <> a.job_id
JOIN problem p ON p.id = a.problem_id
WHERE a.state = 'done' AND b.state = 'done' AND a.correct AND NOT b.correct
ORDER BY p.dataset_id, p.position, a.job_id, b.job_id;
