"""What a subject is when readers ask: an image, or an object with the image that it lies in."""

# An object's id never comes to mean another object, so that readers of this need not be woken by `objects`.
SUBJECT = "subject_id, coalesce(pictured.sample_id, subject_id) as sample_id, pictured.object_id"
PICTURED = "left join (select object_id, sample_id from objects) pictured on pictured.object_id = subject_id"
