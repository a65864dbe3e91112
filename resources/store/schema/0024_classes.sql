-- Whether labels and predictions speak of the same classes. They do not where none is in common and both have several, or where
-- one side has numbers and the other names; what a file calls its classes counts as well as what it uses.
create macro are_numbers(classes) as list_bool_and([regexp_full_match(x, '\d+') for x in classes]);
create macro speak_alike(labelled, predicted) as
    list_has_any(labelled, predicted)
    or (least(len(labelled), len(predicted)) = 1 and are_numbers(labelled) = are_numbers(predicted));
create view class_overlaps as
    select label_field, model, labelled, predicted, speak_alike(labelled, predicted) as comparable
    from (
        select label_field, model, list_sort(list(distinct label)) as predicted from (
            select label_field, model, unnest(labels) as label from effective_predictions
            union
            select label_field, model, unnest(classes) from (select distinct label_field, model, source, file from predictions)
            join input_files files using (source, file) where files.role = 'predictions')
        where label is not null group by all)
    join (
        select label_field, list_sort(list(distinct label)) as labelled
        from (select distinct label_field, unnest(labels) as label from ground_truth) where label is not null group by all)
        using (label_field);
create view object_class_overlaps as
    select label_field, predictions.model, labels.classes as labelled, predictions.classes as predicted,
        speak_alike(labelled, predicted) as comparable
    from (select label_field, model, list_sort(list(distinct label)) as classes from objects where model != 'ground_truth' group by all)
        predictions
    join (select label_field, list_sort(list(distinct label)) as classes from objects where model = 'ground_truth' group by all)
        labels using (label_field);
