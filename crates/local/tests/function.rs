//! Environments of a real process: this program itself, which is a small Lambda function when it has a Runtime API.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "without the harness clippy does not see that these are tests"
)]

use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use local::{
    function::{FunctionSettings, LocalFunction},
    runtime_api::Answer,
    template,
};

fn main() -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "Lambda tells a function its Runtime API in the environment"
    )]
    match env::var("AWS_LAMBDA_RUNTIME_API") {
        Ok(runtime_api) => be_a_function(&runtime_api),
        Err(_) => test(),
    }
}

fn test() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        an_environment_is_used_again().await;
        environments_work_at_the_same_time_and_can_be_killed().await;
        more_invocations_than_environments_wait().await;
        an_environment_that_failed_is_replaced().await;
        an_environment_that_cannot_start_says_so().await;
        only_the_functions_own_variables_are_set().await;
        processes_end_with_the_function().await;
        a_missing_program_is_named().await;
    });
    ExitCode::SUCCESS
}

fn settings(variables: &[(&str, &str)]) -> FunctionSettings {
    FunctionSettings {
        name: "f".to_owned(),
        executable: env::current_exe().unwrap(),
        arguments: Vec::new(),
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        memory_size: 128,
        timeout: Duration::from_mins(1),
        deadline: None,
        max_environments: 2,
    }
}

fn success(text: &str) -> Answer {
    Answer::Success(text.to_owned().into())
}

async fn an_environment_is_used_again() {
    let function = LocalFunction::new(settings(&[]));
    assert_eq!(function.processes().len(), 0);

    let first = function.invoke("echo a").await.unwrap();
    assert_eq!((&first.answer, first.cold_start), (&success("a"), true));
    assert_eq!(first.log, ["started", "echo a", "to standard error"]);
    assert_eq!(function.processes(), [first.process]);
    assert_eq!(first.peak_memory.is_some(), cfg!(target_os = "linux"));
    assert!(first.peak_memory.unwrap_or(1_000_000) > 100_000);

    let second = function.invoke("echo b").await.unwrap();
    assert_eq!(
        (&second.answer, second.cold_start, second.process),
        (&success("b"), false, first.process)
    );
    assert_eq!(second.log, ["echo b", "to standard error"]);

    let third = function.invoke("fail c").await.unwrap();
    let Answer::FunctionError(error) = &third.answer else { panic!("{third:?}") };
    assert_eq!((error.error_type.as_str(), error.error_message.as_str()), ("Failure", "c"));

    let fourth = function.invoke("echo d").await.unwrap();
    assert_eq!(
        (&fourth.answer, fourth.cold_start),
        (&success("d"), false),
        "an error of the function ends nothing"
    );

    let large = "x".repeat(6 * 1024 * 1024);
    let fifth = function.invoke(format!("echo {large}")).await.unwrap();
    assert!(fifth.answer == success(&large));
}

async fn environments_work_at_the_same_time_and_can_be_killed() {
    let function = Arc::new(LocalFunction::new(settings(&[])));
    let hanging = tokio::spawn({
        let function = Arc::clone(&function);
        async move { function.invoke("hang").await.unwrap() }
    });
    let echo = function.invoke("echo a").await.unwrap();
    assert_eq!(echo.answer, success("a"));
    while function.processes().len() < 2 {
        tokio::task::yield_now().await;
    }

    function.kill_environments();
    let hanging = hanging.await.unwrap();
    assert_eq!(hanging.answer, Answer::EnvironmentGone("signal: 9 (SIGKILL)".to_owned()));
    assert_ne!(hanging.process, echo.process);
    assert_eq!(function.processes().len(), 0);

    let next = function.invoke("echo b").await.unwrap();
    assert_eq!((&next.answer, next.cold_start), (&success("b"), true));
}

async fn more_invocations_than_environments_wait() {
    let function = LocalFunction::new(FunctionSettings { max_environments: 1, ..settings(&[]) });
    let (first, second, third) = tokio::join!(
        function.invoke("echo a"),
        function.invoke("echo b"),
        function.invoke("echo c")
    );
    let invocations = [first.unwrap(), second.unwrap(), third.unwrap()];
    assert_eq!(invocations.each_ref().map(|it| it.answer.clone()), ["a", "b", "c"].map(success));
    assert!(invocations.iter().all(|it| it.process == invocations[0].process));
}

async fn an_environment_that_failed_is_replaced() {
    async fn check(settings: FunctionSettings, payload: &'static str, expected: Answer) {
        let function = LocalFunction::new(settings);
        let failed = function.invoke(payload).await.unwrap();
        assert_eq!((failed.answer, failed.cold_start), (expected, true));
        assert_eq!(failed.log, ["started", payload]);
        assert_eq!(function.processes().len(), 0);
        let next = function.invoke("exit 0").await.unwrap();
        assert!(next.cold_start);
    }

    check(settings(&[]), "exit 3", Answer::EnvironmentGone("exit status: 3".to_owned())).await;
    check(settings(&[]), "exit 0", Answer::EnvironmentGone("exit status: 0".to_owned())).await;

    // The line may not be written yet when no time is left.
    let function =
        LocalFunction::new(FunctionSettings { timeout: Duration::ZERO, ..settings(&[]) });
    let failed = function.invoke("hang").await.unwrap();
    assert_eq!((failed.answer, failed.cold_start), (Answer::TimedOut, true));
    assert_eq!(function.processes().len(), 0);
}

async fn an_environment_that_cannot_start_says_so() {
    async fn answer(init: &str) -> Answer {
        let function = LocalFunction::new(settings(&[("INIT", init)]));
        let invocation = function.invoke("echo a").await.unwrap();
        assert_eq!(invocation.log, ["started"]);
        assert_eq!(function.processes().len(), 0);
        invocation.answer
    }

    let Answer::InitError(error) = answer("report").await else { panic!("no init error") };
    assert_eq!((error.error_type.as_str(), error.error_message.as_str()), ("Init", "no table"));
    assert_eq!(answer("exit").await, Answer::EnvironmentGone("exit status: 1".to_owned()));
}

async fn only_the_functions_own_variables_are_set() {
    let function = template::Function {
        logical_id: "F".to_owned(),
        name: "f".to_owned(),
        binary: "f".to_owned(),
        variables: [("TABLE_NAME".to_owned(), "t".to_owned())].into(),
        memory_size: 256,
        timeout: Duration::from_secs(30),
        log_group: "/aws/lambda/f".to_owned(),
    };
    let executable = env::current_exe().unwrap();
    let settings = FunctionSettings::local(&function, executable, "http://127.0.0.1:8000");
    assert_eq!((settings.timeout, settings.deadline), (Duration::from_secs(30), None));

    let function = LocalFunction::new(settings);
    let invocation = function.invoke("variables").await.unwrap();
    let Answer::Success(body) = invocation.answer else { panic!("{invocation:?}") };
    let mut variables: BTreeMap<String, String> = serde_json::from_slice(&body).unwrap();
    assert!(variables.remove("AWS_LAMBDA_RUNTIME_API").unwrap().starts_with("127.0.0.1:"));
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        variables,
        [
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("TABLE_NAME", "t"),
        ]
    );
}

async fn processes_end_with_the_function() {
    /// Whether a process runs; one that ended but was not waited for does not.
    fn runs(process: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    }

    let function = Arc::new(LocalFunction::new(settings(&[])));
    let echo = function.invoke("echo a").await.unwrap();
    let hanging = tokio::spawn({
        let function = Arc::clone(&function);
        async move { function.invoke("hang").await }
    });
    let both = function.invoke("echo b").await.unwrap();
    assert_eq!(runs(echo.process) && runs(both.process), cfg!(target_os = "linux"));
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    drop(function);
    while runs(echo.process) || runs(both.process) {
        tokio::task::yield_now().await;
    }
}

async fn a_missing_program_is_named() {
    let executable = PathBuf::from("no-such-program");
    let function = LocalFunction::new(FunctionSettings { executable, ..settings(&[]) });
    let error = function.invoke("echo a").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot start `no-such-program`");
}

/// A function whose payload is what to do.
fn be_a_function(runtime_api: &str) -> ExitCode {
    log(&mut io::stdout(), "started");
    #[expect(clippy::disallowed_methods, reason = "this is a function of its own")]
    match env::var("INIT").as_deref() {
        Ok("report") => {
            let report = br#"{"errorType":"Init","errorMessage":"no table"}"#;
            request(runtime_api, "POST", "init/error", report);
            return ExitCode::FAILURE;
        }
        Ok(_) => return ExitCode::FAILURE,
        Err(_) => {}
    }
    loop {
        let (request_id, payload) = request(runtime_api, "GET", "invocation/next", b"");
        let (command, argument) = payload.split_once(' ').unwrap_or((&payload, ""));
        if payload.len() < 100 {
            log(&mut io::stdout(), &payload);
        }
        let response = format!("invocation/{request_id}/response");
        match command {
            "echo" => {
                if payload.len() < 100 {
                    log(&mut io::stderr(), "to standard error");
                }
                request(runtime_api, "POST", &response, argument.as_bytes());
            }
            "fail" => {
                let report = format!(r#"{{"errorType":"Failure","errorMessage":"{argument}"}}"#);
                request(
                    runtime_api,
                    "POST",
                    &format!("invocation/{request_id}/error"),
                    report.as_bytes(),
                );
            }
            "variables" => {
                let variables: BTreeMap<_, _> = env::vars().collect();
                request(runtime_api, "POST", &response, &serde_json::to_vec(&variables).unwrap());
            }
            "exit" => return ExitCode::from(argument.parse::<u8>().unwrap()),
            _ => loop {
                thread::park();
            },
        }
    }
}

fn log(stream: &mut dyn Write, line: &str) {
    writeln!(stream, "{line}").unwrap();
}

/// Sends one request, and returns the request id and the body of the reply.
fn request(runtime_api: &str, method: &str, path: &str, body: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(runtime_api).unwrap();
    let head = format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {runtime_api}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut request_id = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("lambda-runtime-aws-request-id", id)) => id.clone_into(&mut request_id),
            Some(_) => {}
            None if line.starts_with("HTTP/") => {}
            None => break,
        }
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    (request_id, reply)
}
