//! Enums whose values have names, in flags, log lines and metrics.

/// Declares an enum of plain values, each with its name, and perhaps a number.
macro_rules! named {
    ($(#[$of_type:meta])* $vis:vis enum $type:ident {
        $($(#[$of_value:meta])* $value:ident $(= $number:literal)? as $name:literal,)*
    }) => {
        $(#[$of_type])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $type {
            $($(#[$of_value])* $value $(= $number)?,)*
        }

        impl $type {
            /// All values, in the order of their declaration.
            $vis const ALL: [Self; [$($name),*].len()] = [$(Self::$value),*];

            /// The name of the value.
            #[must_use]
            $vis fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)*
                }
            }
        }
    };
}

pub(crate) use named;
