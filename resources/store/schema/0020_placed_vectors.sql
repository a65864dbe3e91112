-- Which vector a point was placed by: a subject that has another one now has no place yet.
alter table visualization add column vector varchar;
update visualization set vector = embeddings.model_version || ' ' || input_key
from embeddings, watermarks
where watermarks.asset = 'visualization' and watermarks.brain_key = visualization.brain_key
    and embeddings.brain_key = watermarks.settings ->> '$.embeddings'
    and embeddings.subject_id = visualization.subject_id and embeddings.changed <= watermarks.number;
