with

days as (

    select cast(series.moment as date) as date_day
    from generate_series(
        timestamp '{{ var("calendar_start") }}',
        date_trunc('year', current_date) + interval 1 year - interval 1 day,
        interval 1 day
    ) as series (moment)

)

select
    date_day,
    year(date_day) as year_number,
    quarter(date_day) as quarter_number,
    month(date_day) as month_number,
    weekofyear(date_day) as iso_week_number,
    isodow(date_day) as iso_day_of_week,
    isodow(date_day) >= 6 as is_weekend
from days
