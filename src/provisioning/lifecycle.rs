//! In which state an account is: from the dates, the policy, what blocks it and the moment. Never looks into a document.
